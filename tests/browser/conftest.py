"""A headless browser for all tests here; they are skipped where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.serving.browser import page_of_tests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving.browser import Page


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A tab of a browser."""
    yield from page_of_tests(tmp_path_factory.mktemp("profile"))

"""A headless browser for all tests here; they are skipped where there is none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.serving.browser import NAMES, browser, executable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving.browser import Page


class Shoot(Protocol):
    """Saves a screenshot of the page for a person."""

    def __call__(self, name: str) -> None: ...


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A tab of a browser."""
    if executable() is None:
        pytest.skip(f"there is no browser ({', '.join(NAMES)})")
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def shoot(page: Page, tmp_path: Path) -> Shoot:
    """Save screenshots in the folder THAW_SCREENSHOTS, if that is set."""
    folder = Path(os.environ.get("THAW_SCREENSHOTS", tmp_path))

    def save(name: str) -> None:
        page.screenshot(folder / f"{name}.png")

    return save

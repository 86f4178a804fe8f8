"""Tests of the tab itself: each address is loaded, and a failed wait says why."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.serving.browser import Page

pytestmark = pytest.mark.browser


def test_an_address_that_differs_after_the_hash_alone_is_loaded_again(
    page: Page, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text("<title>page</title>")
    page.open(f"{path.as_uri()}#first", 400, 400)
    page.evaluate("window.first = true")
    page.open(f"{path.as_uri()}#second", 400, 400)
    assert page.evaluate("location.hash") == "#second"
    assert page.evaluate("window.first") is None


def test_a_condition_that_stays_false_names_errors_and_requests_without_an_answer(
    page: Page, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/part.js"
        path = tmp_path / "page.html"
        path.write_text(
            f"<script>fetch('{address}'); setTimeout(() => {{ throw Error('no part') }})</script>"
        )
        page.open(path.as_uri(), 400, 400)
        with pytest.raises(AssertionError) as caught:
            page.wait("false", 2)
    assert f"no answer yet: ['{address}']" in str(caught.value)
    assert "Error: no part" in str(caught.value)

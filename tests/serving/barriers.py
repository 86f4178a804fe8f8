"""The check of a page by axe-core: what a person with a handicap cannot see or use."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.serving.browser import Page

_SERIOUS = {"serious", "critical"}
needs_axe = pytest.mark.skipif(
    find_spec("axe_playwright_python") is None,
    reason="axe-core is not installed: pip install 'thaw-vision[browser]'",
)


def serious_barriers(page: Page, *rules: str) -> list[tuple[str, str]]:
    """Return the rule and the element of each serious or critical finding on the open page.

    Only ``rules`` are checked, if there are any.
    """
    serious = [each for each in _findings(page, rules) if each["impact"] in _SERIOUS]
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in serious]


def all_barriers(page: Page) -> list[tuple[str, str]]:
    """Return the rule and the element of each finding on the open page, however small."""
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in _findings(page, ())]


def _findings(page: Page, rules: Sequence[str]) -> list[dict[str, Any]]:
    found = find_spec("axe_playwright_python")
    assert found is not None
    assert found.origin is not None
    page.evaluate((Path(found.origin).parent / "axe.min.js").read_text() + ";0")
    options = json.dumps({"runOnly": rules} if rules else {})
    page.evaluate(
        "window.found = ''; axe.run(document, " + options + ")"
        ".then(r => window.found = JSON.stringify(r.violations)); 0"
    )
    violations: list[dict[str, Any]] = json.loads(page.wait("window.found", seconds=60))
    return violations

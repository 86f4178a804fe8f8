"""The box of a report page that says whether the version is released; it can be replaced later."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from thaw.evaluation.page.render import environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEMPLATE = "release.html.jinja"
# Pages of earlier versions have a paragraph without marks.
_BOX = re.compile(r'<!-- release -->.*?<!-- /release -->\n?|<p class="release.*?</p>\n?', re.DOTALL)


def box(
    *,
    released: bool,
    label: str,
    reason: str,
    note: str,
    decided: str = "",
    rules: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the content of the box.

    ``label`` and ``reason`` say whether the version is released and why, ``note`` when that was
    true. ``rules`` are those of the gate (``name``, ``passed``, ``sentence``), ``decided`` is the
    time of its decision.
    """
    return {
        "released": released,
        "label": label,
        "reason": reason,
        "note": note,
        "decided": decided,
        "rules": [*rules],
    }


def with_box(page: str, content: Mapping[str, Any]) -> str | None:
    """Return ``page`` with another content of its box; None if it has no box, as a short note."""
    text = environment().get_template(_TEMPLATE).render(release=content)
    found = _BOX.search(page)
    return None if found is None else f"{page[: found.start()]}{text}{page[found.end() :]}"

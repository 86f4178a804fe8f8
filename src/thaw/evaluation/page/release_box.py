"""The part of a report page on the release of its version; it can be replaced later.

It is a box at the top, and among the commands in the section on use the one that would release it.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from thaw.evaluation.page.render import environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BOX_TEMPLATE, _COMMAND_TEMPLATE = "release.html.jinja", "promote.html.jinja"
# Pages of earlier versions have a paragraph without marks.
_BOX = re.compile(r'<!-- release -->.*?<!-- /release -->\n?|<p class="release.*?</p>\n?', re.DOTALL)
_COMMAND = re.compile(
    r"<!-- promote -->.*?<!-- /promote -->\n?"
    r"|<h3>Compare the version with the champion; release it .*?</pre>\n?",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Release:
    """The release of a version, as the box and the command show it.

    Attributes:
        released: Whether it is.
        label: The same in a few words.
        reason: Why, in a sentence.
        note: When that was true.
        version: The number of the version.
        is_doubtful: Whether it is released although it misses limits of the gate.
        decided: The time of the gate's decision.
        rules: Those of the gate: ``name``, ``passed``, ``sentence``.
    """

    released: bool
    label: str
    reason: str
    note: str
    version: int
    is_doubtful: bool = False
    decided: str = ""
    rules: Sequence[Mapping[str, Any]] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the content of a page: also the command that a released version does not need."""
        command = "" if self.released else f"thaw promote {self.version}"
        return {**asdict(self), "rules": [*self.rules], "command": command}


def with_release(page: str, content: Mapping[str, Any]) -> str | None:
    """Return ``page`` with the ``content`` of another release.

    None if it has no box, as a short note.
    """
    page, boxes = _replace(_BOX, _BOX_TEMPLATE, page, content)
    return _replace(_COMMAND, _COMMAND_TEMPLATE, page, content)[0] if boxes else None


def _replace(
    part: re.Pattern[str], template: str, page: str, content: Mapping[str, Any]
) -> tuple[str, int]:
    """Return ``page`` with its first ``part`` from ``template``, and how many it had: 0 or 1."""
    text = environment().get_template(template).render(release=content)
    return part.subn(lambda _: text, page, count=1)

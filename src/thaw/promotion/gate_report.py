"""The report of the gate, as a table, a page, JSON, and the description of a version."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment

from thaw.metrics.registry import COSTS, METRICS
from thaw.promotion.gate import ARTIFACT
from thaw.promotion.rule_result import RuleResult, format_number
from thaw.registry.descriptions import GATE_MARK
from thaw.registry.names import FORCED, PASSED, REFUSED, UNPROTECTED

if TYPE_CHECKING:
    from thaw.promotion.scoring import ScoredVersion


@dataclass(frozen=True)
class Report:
    """A verdict and everything that it is based on.

    ``against`` is the version that had the alias, None if there was none. ``when`` is UTC (ISO
    8601). ``metrics`` holds both values as text by name, ``recalls`` the class with both recalls.
    ``commit`` is the commit of the rules, "" outside of a git checkout; ``dirty``: the rules may
    have changes that are not committed. ``model`` is the digest of the model directory.
    ``off`` names the protections of the gate that the rules leave out.
    """

    name: str
    version: int
    alias: str
    against: int | None
    when: str
    who: str
    images: int
    rules: list[RuleResult]
    metrics: dict[str, tuple[str, str]] = field(default_factory=dict)
    recalls: list[tuple[str, float, float | None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reason: str = ""
    force: bool = False
    commit: str = ""
    dirty: bool = False
    model: str = ""
    off: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True if every rule passed."""
        return all(rule.passed for rule in self.rules)

    @property
    def verdict(self) -> str:
        """``passed`` (also: with protections off), ``refused`` or ``forced``.

        A damaged artifact is never forced.
        """
        if self.passed:
            return UNPROTECTED if self.off else PASSED
        is_intact = all(rule.passed for rule in self.rules if rule.name == ARTIFACT)
        return FORCED if self.force and is_intact else REFUSED

    @property
    def failed(self) -> list[RuleResult]:
        """The rules that did not pass."""
        return [rule for rule in self.rules if not rule.passed]

    @property
    def summary(self) -> str:
        """The outcome with the reason for forcing, if it was forced."""
        return self.outcome + (f"; forced: {self.reason}" if self.verdict == FORCED else "")

    @property
    def outcome(self) -> str:
        """The verdict and the failed rules, as one sentence."""
        against = f"against version {self.against}" if self.against else f"without a {self.alias}"
        against += f" (protections off: {', '.join(self.off)})" if self.off else ""
        against += " (the rules were not committed)" if self.dirty else ""
        if self.passed:
            return f"passed all {len(self.rules)} rules {against}"
        names = ", ".join(rule.name for rule in self.failed)
        return f"{len(self.failed)} of {len(self.rules)} rules failed {against}: {names}"


def metric_values(
    challenger: ScoredVersion, champion: ScoredVersion | None
) -> dict[str, tuple[str, str]]:
    """Return each metric and cost of both as text; "" if there is no champion."""
    return {
        name: (
            format_number(challenger.metrics.get(name, math.nan)),
            format_number(champion.metrics.get(name, math.nan)) if champion else "",
        )
        for name in (*METRICS, *COSTS)
    }


def recalls(
    challenger: ScoredVersion, champion: ScoredVersion | None
) -> list[tuple[str, float, float | None]]:
    """Return (class, recall of the challenger, recall of the champion) for each class."""
    other = champion.recalls if champion else {}
    return [(label, recall, other.get(label)) for label, recall in challenger.recalls.items()]


def content_of(report: Report) -> dict[str, Any]:
    """Return the report for JSON."""
    return {"verdict": report.verdict, "summary": report.summary, **asdict(report)}


def as_json(report: Report) -> str:
    """Return the report as the text whose digest the history holds."""
    return json.dumps(content_of(report), indent=2, allow_nan=False) + "\n"


def as_html(report: Report) -> str:
    """Return the report as an HTML page that needs no other file."""
    source = files("thaw.promotion").joinpath("report.html.jinja").read_text(encoding="utf-8")
    return Environment(autoescape=True).from_string(source).render(report=report)


def as_note(report: Report) -> str:
    """Return the report as a note in the description of the version (Markdown)."""
    rows = "\n".join(
        f"| {_cell(rule.name)} | {'pass' if rule.passed else '**FAIL**'} | {_cell(rule.sentence)} |"
        for rule in report.rules
    )
    header = f"{report.when}, by {report.who}: {report.summary}"
    return (
        f"{GATE_MARK}{report.verdict}** for @{report.alias}, {header}\n\n"
        f"| rule | | |\n|---|---|---|\n{rows}\n"
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

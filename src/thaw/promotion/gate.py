"""The gate: rules that a version must pass before it becomes the champion; a row each.

Pure: what it judges was fetched and scored before. What is missing or not finite never passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thaw.metrics.registry import METRICS
from thaw.promotion.paired_tests import Comparison, Pair, compare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from thaw.config.promotion_sections import Promote
    from thaw.promotion.scoring import Scored

ARTIFACT = "artifact"


@dataclass(frozen=True)
class Rule:
    """A rule's outcome: both numbers and what was needed, as text, and a sentence."""

    name: str
    challenger: str
    champion: str
    needed: str
    passed: bool
    sentence: str


@dataclass(frozen=True)
class Origin:
    """What the challenger's version and run say of how it was made, and what is here now.

    None or "" where nothing is known. ``prepared_locked`` is what ``dvc.lock`` says lies in
    ``data/prepared``, ``prepared_here`` what does.
    """

    tagged_digest: str
    commit: str
    dirty: str
    data_digest: str
    lock_digest: str
    data_here: str
    lock_here: str | None
    test_digest: str
    test_here: str
    prepared_locked: str
    prepared_here: str


def judge(
    settings: Promote,
    challenger: Scored,
    champion: Scored | None,
    targets: NDArray[np.int64],
    origin: Origin,
    bins: int,
) -> list[Rule]:
    """All rules of ``settings``; without a champion, those that need none.

    ``targets`` (N,) are those of the test split.
    """
    rules = [_artifact(challenger, origin), *_provenance(settings, origin)]
    for metric, least in settings.floors.items():
        rules.append(_bound(metric, challenger, champion, least, floor=True))
    for metric, most in settings.ceilings.items():
        rules.append(_bound(metric, challenger, champion, most, floor=False))
    if champion is not None:
        rules += _against(settings, challenger, champion, targets, bins)
    return rules


def _artifact(challenger: Scored, origin: Origin) -> Rule:
    tagged, found = origin.tagged_digest, challenger.digest
    if challenger.problem:
        sentence = f"it cannot be used: {challenger.problem}"
    elif not tagged:
        sentence = "the version has no digest: it was not registered by thaw"
    elif tagged != found:
        sentence = "the model is not the one that was registered"
    else:
        sentence = "the model is the one that was registered"
    passed = bool(tagged) and tagged == found and not challenger.problem
    return Rule(ARTIFACT, found[:12] or "none", "", tagged[:12] or "a digest", passed, sentence)


def _provenance(settings: Promote, origin: Origin) -> Iterator[Rule]:
    wanted = settings.provenance
    if wanted.committed:
        known = bool(origin.commit) and origin.dirty in {"true", "false"}
        passed = known and origin.dirty == "false"
        sentence = "code and parameters that made it are committed"
        if not known:
            sentence = "the run does not say which commit it was made from"
        elif not passed:
            sentence = (
                "code or parameters had changes that were not committed: commit them, then "
                "`dvc repro -s -f evaluate` notes the commit on the run"
            )
        yield Rule("committed", origin.commit[:12] or "unknown", "", "a commit", passed, sentence)
    if wanted.data:
        yield _same(
            "data", origin.data_digest, origin.data_here, "the run's data is what is here",
            "it was trained on other data than is here: `dvc repro`",
        )  # fmt: skip
        yield _same(
            "test split", origin.test_digest, origin.test_here,
            "it was scored on the test images that are here, pixel for pixel",
            "the test images are not those that it was scored on: delete data/prepared, then "
            "`dvc checkout`; or `dvc repro` for a version of the data as it is",
        )  # fmt: skip
    if wanted.dvc_lock:
        yield _same(
            "dvc.lock", origin.lock_digest, origin.lock_here or "",
            "dvc.lock is the one that the run was logged with",
            "dvc.lock is not the run's: take pipeline/dvc.lock from the run, then `dvc checkout`; "
            "or `dvc repro`",
        )  # fmt: skip
        yield _same(
            "data/prepared", origin.prepared_locked, origin.prepared_here,
            "what lies there is what dvc.lock says, byte for byte",
            "its files are not those that dvc.lock names: delete it, then `dvc checkout`",
        )  # fmt: skip


def _same(name: str, recorded: str, here: str, same: str, other: str) -> Rule:
    recorded = "" if recorded == "none" else recorded
    passed = bool(recorded) and recorded == here
    if not recorded:
        other = f"it is not known which {name} it was made with"
    elif not here:
        other = f"there is no {name} here to compare with"
    sentence = same if passed else other
    return Rule(name, recorded[:12] or "unknown", "", here[:12] or "unknown", passed, sentence)


def _bound(
    metric: str, challenger: Scored, champion: Scored | None, bound: float, *, floor: bool
) -> Rule:
    value = challenger.metrics.get(metric, math.nan)
    known = math.isfinite(value)
    passed = known and (value >= bound if floor else value <= bound)
    word = "at least" if floor else "at most"
    sentence = f"{metric} is {number(value)}, {'' if passed else 'not '}{word} {number(bound)}"
    if not known:
        sentence = f"{metric} is missing or not finite: that never passes"
    other = number(champion.metrics.get(metric, math.nan)) if champion else ""
    return Rule(metric, number(value), other, f"{word} {number(bound)}", passed, sentence)


def _against(
    settings: Promote,
    challenger: Scored,
    champion: Scored,
    targets: NDArray[np.int64],
    bins: int,
) -> Iterator[Rule]:
    """The rules that compare; a model that could not be scored passes none of them."""
    margins = settings.not_worse
    tests = [(metric, margin, f"{metric}: not worse") for metric, margin in margins.items()]
    if settings.better != "none":
        tests.append((settings.better, 0.0, f"{settings.better}: better"))
    unscored = next((s for s in (challenger, champion) if not _usable(s, targets)), None)
    for metric, margin, name in tests:
        needed = f"{settings.confidence:.0%} sure" + (
            f", margin {number(margin)}" if margin else ""
        )
        own, other = (s.metrics.get(metric, math.nan) for s in (challenger, champion))
        if unscored is not None or not (math.isfinite(own) and math.isfinite(other)):
            passed, sentence = False, _no_comparison(unscored, metric)
        else:
            assert challenger.probabilities is not None
            assert champion.probabilities is not None
            pair = Pair(challenger.probabilities, champion.probabilities, targets, bins)
            found = compare(pair, METRICS[metric], margin=margin, confidence=settings.confidence)
            passed = found.confidence >= settings.confidence
            sentence = _sentence(found, metric, margin, settings.confidence)
        yield Rule(name, number(own), number(other), needed, passed, sentence)
    if unscored is None:
        yield _classes(settings.class_margin, challenger, champion)
    else:
        passed, sentence = False, _no_comparison(unscored, "recall")
        yield Rule("classes", "", "", "every class", passed, sentence)


def _usable(scored: Scored, targets: NDArray[np.int64]) -> bool:
    found = scored.probabilities
    return found is not None and len(found) == len(targets) and bool(np.isfinite(found).all())


def _no_comparison(unscored: Scored | None, metric: str) -> str:
    if unscored is None:
        return f"{metric} is missing or not finite: that never passes"
    reason = unscored.problem or "its outputs are not finite"
    return f"version {unscored.version} cannot be scored here: {reason}"


def _sentence(found: Comparison, metric: str, margin: float, confidence: float) -> str:
    claim = f"not worse by {number(margin)} or more" if margin else "better"
    shares = f"{found.advantage:+.4f} for the challenger"
    sure = f"{min(found.confidence, 0.9999):.2%} sure that it is {claim}"
    if found.confidence >= confidence:
        return f"{shares}; {sure}"
    if found.confidence_worse >= confidence:
        return f"{shares}; it is worse ({min(found.confidence_worse, 0.9999):.2%} sure)"
    is_limited = METRICS[metric].limited_by_smallest_class
    where = "images of the smallest class" if is_limited else "images"
    few = f"{shares}; {sure}: too few images to tell ({found.images} {where}"
    if found.needed is None or found.needed <= found.images:
        return f"{few})"
    return f"{few}, about {found.needed:,} would, if nothing else changed)"


def _classes(margin: float, challenger: Scored, champion: Scored) -> Rule:
    falls = {
        label: recall - challenger.recalls.get(label, -math.inf)
        for label, recall in champion.recalls.items()
    }
    label = max(falls, key=falls.__getitem__)
    fell = [name for name, fall in falls.items() if not fall <= margin + 1e-9]
    sentence = f"no class's recall falls by more than {number(margin)}"
    if fell:
        listed = ", ".join(f"{name} by {falls[name]:.3f}" for name in fell[:5])
        more = f" and {len(fell) - 5} more" if len(fell) > 5 else ""
        sentence = f"the recall falls: {listed}{more}"
    return Rule(
        "classes",
        f"{label}: {number(challenger.recalls.get(label, math.nan))}",
        f"{label}: {number(champion.recalls[label])}",
        f"fall at most {number(margin)}",
        not fell,
        sentence,
    )


def number(value: float) -> str:
    """A number for people: four decimals where they say something."""
    if not math.isfinite(value):
        return "missing"
    return f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) < 10 else f"{value:.1f}"

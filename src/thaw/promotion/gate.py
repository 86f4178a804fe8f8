"""The gate: the rules that a version must pass before it becomes the champion.

The functions here are pure: models are fetched and scored before. A missing value or one that is
not finite never passes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from thaw.promotion.comparison_rules import comparison_rules
from thaw.promotion.rule_result import RuleResult, format_number
from thaw.system.quantities import quantity
from thaw.system.repeat_command import repeat_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from thaw.config.promotion_sections import Promote
    from thaw.promotion.origin import Origin
    from thaw.promotion.scoring import ScoredVersion

ARTIFACT = "artifact"


def check_rules(
    settings: Promote,
    challenger: ScoredVersion,
    champion: ScoredVersion | None,
    targets: NDArray[np.int64],
    origin: Origin,
    bins: int,
) -> list[RuleResult]:
    """Return the results of all rules of ``settings``; without a champion, of those that need none.

    ``targets`` (N,) are those of the test split, ``bins`` is the number of bins for the calibration
    error.
    """
    rules = [_artifact(challenger, origin), *_provenance(settings, origin)]
    if settings.provenance.dvc_lock and origin.model_locked:
        rules.append(_model_files(challenger, origin))
    for metric, least in settings.floors.items():
        rules.append(_bound(metric, challenger, champion, least, floor=True))
    for metric, most in settings.ceilings.items():
        rules.append(_bound(metric, challenger, champion, most, floor=False))
    if champion is not None:
        rules += comparison_rules(settings, challenger, champion, targets, bins)
    return rules


def _artifact(challenger: ScoredVersion, origin: Origin) -> RuleResult:
    tagged, found = origin.tagged_digest, challenger.digest
    if challenger.problem:
        sentence = f"the model cannot be used: {challenger.problem}"
    elif not tagged:
        sentence = "the version has no digest: it was not registered by thaw"
    elif tagged != found:
        sentence = "the model is not the one that was registered"
    else:
        sentence = "the model is the one that was registered"
    passed = bool(tagged) and tagged == found and not challenger.problem
    return RuleResult(
        ARTIFACT, found[:12] or "none", "", tagged[:12] or "a digest", passed, sentence
    )


def _provenance(settings: Promote, origin: Origin) -> Iterator[RuleResult]:
    wanted = settings.provenance
    if origin.deleted_run and (wanted.committed or wanted.data or wanted.dvc_lock):
        restore = f"`mlflow runs restore --run-id {origin.deleted_run}`"
        sentence = f"the run of the version was deleted: {restore} puts it back"
        yield RuleResult("run", "deleted", "", "a run", passed=False, sentence=sentence)
    if wanted.committed:
        known = bool(origin.commit) and origin.dirty in {"true", "false"}
        passed = known and origin.dirty == "false"
        sentence = "code and parameters of the run are committed"
        if not known:
            sentence = "the run does not record its commit"
        elif not passed:
            sentence = (
                "code or parameters had changes that were not committed: commit them, then "
                f"`{repeat_command('evaluate')}` notes the commit on the run; if `dvc exp run` "
                "made them, `dvc exp apply NAME` comes first"
            )
        yield RuleResult(
            "committed", origin.commit[:12] or "unknown", "", "a commit", passed, sentence
        )
    if wanted.data:
        yield _same(
            "data", origin.data_digest, origin.data_here,
            "the run was trained on the data of this project",
            "the run was trained on other data than this project has: `dvc repro`",
        )  # fmt: skip
        yield _same(
            "test split", origin.test_digest, origin.test_here,
            "the version was scored on the test images of this project, pixel for pixel",
            "the test images are not those that the version was scored on: run `dvc checkout`, or "
            "`dvc repro` for a version of the current data",
        )  # fmt: skip
    if wanted.dvc_lock:
        yield _same(
            "dvc.lock", origin.lock_digest, origin.lock_here or "",
            "dvc.lock is the one that the run was logged with",
            "dvc.lock is not the one of the run: take pipeline/dvc.lock from the run, "
            "then `dvc checkout`; or `dvc repro`",
        )  # fmt: skip
        yield _same(
            "data/prepared", origin.prepared_locked, origin.prepared_here,
            "the files in data/prepared are those of dvc.lock, byte for byte",
            "the files in data/prepared are not those of dvc.lock: `thaw repair`, or `dvc repro`",
        )  # fmt: skip


def _model_files(challenger: ScoredVersion, origin: Origin) -> RuleResult:
    """Compare the registered files with dvc.lock: tags of a run can be written by hand."""
    other = [name for name, md5 in challenger.files.items() if origin.model_locked.get(name) != md5]
    passed = bool(challenger.files) and not other
    sentence = "the files of the model are those of dvc.lock, byte for byte"
    if not passed:
        listed = ", ".join(other) or "none could be read"
        sentence = (
            f"the files of the model are not those of dvc.lock ({listed}): the pipeline that it "
            "records did not make the version: `dvc repro`"
        )
    found = quantity(len(challenger.files), "file")
    return RuleResult("model files", found, "", "those of dvc.lock", passed, sentence)


def _same(name: str, recorded: str, here: str, same: str, other: str) -> RuleResult:
    recorded = "" if recorded == "none" else recorded
    passed = bool(recorded) and recorded == here
    if not recorded:
        other = f"the run does not record its {name}"
    elif not here:
        other = f"this project has no {name} to compare with"
    sentence = same if passed else other
    return RuleResult(
        name, recorded[:12] or "unknown", "", here[:12] or "unknown", passed, sentence
    )


def _bound(
    metric: str,
    challenger: ScoredVersion,
    champion: ScoredVersion | None,
    bound: float,
    *,
    floor: bool,
) -> RuleResult:
    value = challenger.metrics.get(metric, math.nan)
    known = math.isfinite(value)
    passed = known and (value >= bound if floor else value <= bound)
    word = "at least" if floor else "at most"
    needed = f"{word} {format_number(bound)}"
    sentence = f"{metric} is {format_number(value)}, {'' if passed else 'not '}{needed}"
    if not known:
        sentence = f"{metric} is missing or not finite: that never passes"
    other = format_number(champion.metrics.get(metric, math.nan)) if champion else ""
    return RuleResult(metric, format_number(value), other, needed, passed, sentence)

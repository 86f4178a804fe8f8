"""What ``auto`` stands for in the section ``unfreeze``, for this model and this data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thaw.advice.advise import FAR, advise
from thaw.advice.measure import measure, shift_of
from thaw.console import say
from thaw.model.freeze import BatchNormPolicy, Plan, chosen_blocks, last_blocks

if TYPE_CHECKING:
    from thaw.config import Unfreeze
    from thaw.data.prepared import Prepared
    from thaw.data.transforms import Preprocessing
    from thaw.model.blocks import Classifier
    from thaw.training.activations import Cache
    from thaw.training.runtime import Runtime

# Images a device and step below which a batch's own statistics are too noisy: docs/method.md.
SMALL_BATCH = 8


@dataclass(frozen=True)
class Resolved:
    """The section without ``auto``, the plan it makes, and what was decided by which number."""

    settings: Unfreeze
    plan: Plan
    report: dict[str, Any]


def resolve(
    runtime: Runtime,
    classifier: Classifier,
    data: Prepared,
    preprocessing: Preprocessing,
    settings: Unfreeze,
    cache: Cache,
    seed: int,
) -> Resolved:
    """Take the advice where ``depth`` is ``auto``, and choose the BatchNorm policy where it is."""
    report: dict[str, Any] = {}
    if settings.depth == "auto":
        facts = measure(runtime, classifier, data, preprocessing, cache, seed)
        advice = advise(facts)
        values = advice.of("unfreeze")
        report["advice"] = advice.case
        if runtime.is_main:
            told = ", ".join(f"{key} {value}" for key, value in values.items())
            say(f"unfreeze.depth auto: {advice.case}: {told}")
        settings = settings.model_copy(update=values)
    batch_norm, why = _policy(runtime, classifier, data, preprocessing, settings)
    plan = _plan(settings, len(classifier.blocks), batch_norm)
    return Resolved(settings, plan, {**report, **why})


def _policy(
    runtime: Runtime,
    classifier: Classifier,
    data: Prepared,
    preprocessing: Preprocessing,
    settings: Unfreeze,
) -> tuple[BatchNormPolicy, dict[str, Any]]:
    """``auto`` is ``affine`` where a device's share of a batch is small or the data far off."""
    if settings.batch_norm != "auto":
        return settings.batch_norm, {}
    share = settings.batch_size // runtime.world
    shift = shift_of(runtime, classifier, data, preprocessing)
    chosen: BatchNormPolicy = "affine" if share < SMALL_BATCH or shift > FAR else "train"
    if runtime.is_main:
        say(
            f"unfreeze.batch_norm auto: {chosen} ({share} images a device and step, "
            f"statistics shifted by {shift:.2f})"
        )
    return chosen, {"batch_norm": chosen, "statistics_shift": shift}


def _plan(settings: Unfreeze, blocks: int, batch_norm: BatchNormPolicy) -> Plan:
    if settings.blocks:
        return chosen_blocks(settings.blocks, blocks, batch_norm)
    assert settings.depth != "auto"
    return last_blocks(settings.depth, blocks, batch_norm)

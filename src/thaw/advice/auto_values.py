"""What ``auto`` stands for in the section ``unfreeze``, for this model and this data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from thaw.advice.measurements import measure, shift_of
from thaw.advice.recommendation import LARGE, advise, is_far
from thaw.model.freeze_plan import BatchNormPolicy, Plan, chosen_blocks, last_blocks
from thaw.system.console import say

if TYPE_CHECKING:
    from thaw.advice.recommendation import Advice
    from thaw.config.params import Params
    from thaw.config.training_sections import Unfreeze
    from thaw.context import Context
    from thaw.data.prepared import Prepared
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier

# Images a device and step below which a batch's own statistics are too noisy. Wu & He 2018 (Group
# Normalization, figure 1) see BatchNorm's error rise slightly at 8 images, and steeply below.
SMALL_BATCH = 8


@dataclass(frozen=True)
class Resolved:
    """The section without ``auto``, the plan it makes, and what was decided by which number."""

    settings: Unfreeze
    plan: Plan
    report: dict[str, Any]


def resolve(context: Context, classifier: Classifier, preprocessing: Preprocessing) -> Resolved:
    """Take the advice where ``depth`` is ``auto``, and choose the BatchNorm policy where it is.

    Where ``blocks`` names what trains, ``depth`` is not read, and nothing is advised.
    """
    params, runtime, data = context.params, context.runtime, context.data
    from_scratch = params.backbone.weights == "none"
    report: dict[str, Any] = {}
    settings = params.unfreeze
    otherwise: BatchNormPolicy = "train"
    if settings.depth == "auto" and not settings.blocks:
        facts = measure(context, classifier, preprocessing)
        advice = advise(facts)
        settings, otherwise = _taken(advice, params, show=runtime.is_main)
        report["advice"] = advice.case
    plan = _plan(settings, len(classifier.blocks))
    if settings.batch_norm != "auto":
        return Resolved(settings, replace(plan, batch_norm=settings.batch_norm), report)
    # a new backbone's statistics are of no data that this could be far from
    shift = None if from_scratch else shift_of(context, classifier, preprocessing)
    share = settings.batch_size // params.launch.processes
    is_all = len(plan.trainable) == plan.blocks
    chosen = policy(share, shift, relearnt=is_all and _is_much(data), otherwise=otherwise)
    if runtime.is_main:
        shifted = "no shift measured" if shift is None else f"statistics shifted by {shift:.2f}"
        say(f"unfreeze.batch_norm auto: {chosen} ({share} images a device and step, {shifted})")
    report |= {"batch_norm": chosen, "statistics_shift": shift}
    return Resolved(settings, replace(plan, batch_norm=chosen), report)


def policy(
    share: int, shift: float | None, *, relearnt: bool, otherwise: BatchNormPolicy = "train"
) -> BatchNormPolicy:
    """What ``auto`` comes to with ``share`` images a device and step, and such a shift.

    ``affine`` where a batch is too small for statistics of its own, and where those of the source
    are far off and stay: in frozen blocks below, or for want of data. Where they are ``relearnt``
    (all blocks train, on much data) or near enough, ``otherwise``.
    """
    if share < SMALL_BATCH or (is_far(shift) and not relearnt):
        return "affine"
    return otherwise


def _taken(advice: Advice, params: Params, *, show: bool) -> tuple[Unfreeze, BatchNormPolicy]:
    """The section with what is advised for it, and the advised policy; ``auto`` stays there."""
    values = advice.of("unfreeze")
    otherwise: BatchNormPolicy = values["batch_norm"]
    if params.unfreeze.batch_norm == "auto":
        del values["batch_norm"]
    if show:
        say(f"unfreeze.depth auto: {advice.case}: {_listed(values)}")
        if beside := advice.beside("unfreeze", params):
            left = _listed(beside)
            say(f"also advised, but not taken (`thaw advise --apply` takes all): {left}")
    return params.unfreeze.model_copy(update=values), otherwise


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _is_much(data: Prepared) -> bool:
    """Whether there are enough images for data that is far from the source to count as large."""
    images, classes = len(data.manifest.ids("train")), len(data.manifest.classes)
    return images / classes >= LARGE["dissimilar"]


def _plan(settings: Unfreeze, blocks: int) -> Plan:
    if settings.blocks:
        return chosen_blocks(settings.blocks, blocks)
    assert settings.depth != "auto"
    return last_blocks(settings.depth, blocks)

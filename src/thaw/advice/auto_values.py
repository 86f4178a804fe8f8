"""Replace ``auto`` in the section ``unfreeze`` by values for this model and this data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from thaw.advice.measurements import MANY_IMAGES, is_large_shift
from thaw.advice.measuring import measure, statistics_shift
from thaw.advice.recommendation import recommend
from thaw.data.split_names import TRAIN
from thaw.model.freeze_plan import Plan, chosen_blocks, last_blocks
from thaw.system.console import say
from thaw.system.process_group import process_group
from thaw.training.usable_batch_sizes import SMALL_BATCH

if TYPE_CHECKING:
    from thaw.advice.recommendation import Recommendation
    from thaw.config.params import Params
    from thaw.config.training_sections import Unfreeze
    from thaw.context import Context
    from thaw.data.prepared import Prepared
    from thaw.data.preprocessing import Preprocessing
    from thaw.literals import BatchNormPolicy
    from thaw.model.classifier import Classifier


@dataclass(frozen=True)
class KeepRule:
    """The gain over the head alone that keeps a training: a hundredth of the loss.

    If it ``needs_one_error``, the gain must be above one standard error of the paired difference as
    well.
    """

    needs_one_error: bool = False


@dataclass(frozen=True)
class Resolved:
    """The section ``unfreeze`` without ``auto``, its plan, and the reported choices.

    ``keep_rule`` is set for a training that a comparison of short trainings has chosen, or that
    ``keep`` asks for. ``chosen`` are the values by dotted key.
    """

    settings: Unfreeze
    plan: Plan
    report: dict[str, Any]
    keep_rule: KeepRule | None = None
    chosen: dict[str, Any] = field(default_factory=dict)


def resolve(context: Context, classifier: Classifier, preprocessing: Preprocessing) -> Resolved:
    """Replace ``depth: auto`` by the recommendation, and ``batch_norm: auto`` by a policy.

    Values of the section that differ from their default stay. Where ``blocks`` is set, ``depth`` is
    not read and nothing is recommended.
    """
    params = context.params
    report: dict[str, Any] = {}
    settings = params.unfreeze
    default: BatchNormPolicy = "train"
    if settings.depth == "auto" and not settings.blocks:
        recommendation = recommend(measure(context, classifier, preprocessing))
        settings, default = _recommended(recommendation, params, show=context.runtime.is_main)
        report["advice"] = str(recommendation.case)
    plan = _plan(settings, len(classifier.blocks))
    if settings.batch_norm != "auto":
        plan = replace(plan, batch_norm=settings.batch_norm)
        return Resolved(settings, plan, report, _keep_rule(settings, plan))
    # Random weights have no statistics of pretraining data.
    from_scratch = params.backbone.weights == "none"
    shift = None if from_scratch else statistics_shift(context, classifier, preprocessing)
    parts = params.launch.accumulate if params.launch.accumulate != "auto" else 1
    images = settings.images_per_step // (process_group(params.launch).processes * parts)
    all_train = len(plan.trainable) == plan.blocks
    relearned = all_train and _has_many_images(context.data)
    chosen = choose_policy(images, shift, statistics_are_relearned=relearned, default=default)
    if context.runtime.is_main:
        shifted = "no shift measured" if shift is None else f"statistics shifted by {shift:.2f}"
        say(f"unfreeze.batch_norm auto: {chosen} ({images} images per device and step, {shifted})")
    report |= {"batch_norm": chosen, "statistics_shift": shift}
    plan = replace(plan, batch_norm=chosen)
    return Resolved(settings, plan, report, _keep_rule(settings, plan))


def _keep_rule(settings: Unfreeze, plan: Plan) -> KeepRule | None:
    if settings.keep == "auto" or not plan.trainable or not settings.epochs:
        return None
    return KeepRule(needs_one_error=settings.keep == "if_clearly_better")


def choose_policy(
    images: int,
    shift: float | None,
    *,
    statistics_are_relearned: bool,
    default: BatchNormPolicy = "train",
) -> BatchNormPolicy:
    """Return the policy for ``batch_norm: auto``.

    ``images`` is the number of images per device and step, ``shift`` that of the BatchNorm
    statistics. The policy is ``affine`` where batches are too small for statistics of their own, or
    where the pretrained statistics are not valid for the data and are not relearned (which needs
    all blocks to train, on many images). Otherwise it is ``default``.
    """
    if images < SMALL_BATCH or (is_large_shift(shift) and not statistics_are_relearned):
        return "affine"
    return default


def _recommended(
    recommendation: Recommendation, params: Params, *, show: bool
) -> tuple[Unfreeze, BatchNormPolicy]:
    """Return the section with its recommended values, and the recommended policy.

    A recommended value replaces a default only. ``batch_norm: auto`` remains in the section.
    """
    values = recommendation.section("unfreeze")
    policy: BatchNormPolicy = values["batch_norm"]
    settings = params.unfreeze.model_dump()
    defaults = type(params.unfreeze)().model_dump()
    own = {key: settings[key] for key in values if settings[key] != defaults[key]}
    values = {key: value for key, value in values.items() if key not in {*own, "batch_norm"}}
    if show:
        kept = f"; kept from params.yaml: {_listed(own)}" if own else ""
        say(f"unfreeze.depth auto: {recommendation.case.summary} {_listed(values)}{kept}")
        if others := recommendation.changes_outside("unfreeze", params):
            say(
                f"recommended for other sections, but not used: {_listed(others)}; "
                "`thaw advise --apply` writes all values into params.yaml"
            )
    return params.unfreeze.model_copy(update=values), policy


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _has_many_images(data: Prepared) -> bool:
    """Return whether there are many training images for data that is dissimilar."""
    images, classes = len(data.manifest.ids(TRAIN)), len(data.manifest.classes)
    return images / classes >= MANY_IMAGES["dissimilar"]


def _plan(settings: Unfreeze, blocks: int) -> Plan:
    if settings.blocks:
        return chosen_blocks(settings.blocks, blocks)
    assert settings.depth != "auto"
    return last_blocks(settings.depth, blocks)

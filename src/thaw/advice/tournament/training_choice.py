"""Choose whether and how to fine-tune, by short trainings on one fold.

Successive halving: all ways train for one epoch, two of them go on to three. The head was fitted to
the end, and these trainings were not. So the best one is worth a whole training also if its loss,
extrapolated to all epochs, is lower than that of the head. The stage compares the whole training
with the head again, and keeps the better one.

Source: successive halving, Jamieson & Talwalkar 2016.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.advice.tournament.comparison import paired_difference
from thaw.advice.tournament.deadline import Deadline
from thaw.advice.tournament.development import development
from thaw.advice.tournament.fold_training import FoldResult, FoldTrainer
from thaw.advice.tournament.training_candidates import head_alone, trainings
from thaw.advice.tournament.training_leaderboard import TrainingRow, training_row
from thaw.advice.tournament.training_rounds import affordable, expected_loss, going_on, more_epochs
from thaw.config.result_values import result_values
from thaw.config.section import AUTO
from thaw.model.meta_classifier import meta_backbone
from thaw.system import provenance
from thaw.system.code_digests import code_digests
from thaw.system.console import say
from thaw.system.files import write_json
from thaw.system.project_paths import SCRATCH
from thaw.system.quantities import quantity
from thaw.system.tool_lock import library_versions
from thaw.training.calibration import loss_of_guessing
from thaw.training.optimizer_step import NotFiniteError
from thaw.training.out_of_memory import MemoryShortageError
from thaw.training.single_image_steps import FewImagesError

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.advice.tournament.development import Development
    from thaw.advice.tournament.stage_choices import HeadMethod
    from thaw.advice.tournament.training_candidates import TrainingCandidate
    from thaw.config.params import Params
    from thaw.config.training_sections import Unfreeze
    from thaw.context import Context
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec


@dataclass(frozen=True)
class TrainingChoice:
    """Values of the section ``unfreeze``, and the leaderboard that they come from.

    ``is_better`` says that the short training was better than the head alone already. Otherwise,
    this is only expected of a whole one.
    """

    name: str
    values: dict[str, Any]
    rows: list[TrainingRow]
    is_better: bool = False

    def settings(self, own: Unfreeze) -> Unfreeze:
        """Return the section ``own`` with the chosen values."""
        return own.model_copy(update=self.values)


def is_chosen_by_training(params: Params, head: HeadMethod) -> bool:
    """Return whether trainings are compared: ``depth`` is auto, and so was something of the head.

    Without that, ``depth: auto`` is the recommendation of measurements.
    """
    return params.unfreeze.depth == AUTO and not params.unfreeze.blocks and head.is_compared


def choose_training(
    context: Context,
    classifier: Classifier,
    spec: ModelSpec,
    head: HeadMethod,
    deadline: Deadline | None = None,
) -> TrainingChoice:
    """Return the choice for ``classifier``, the model of the head warm-up.

    The choice is stored, and found again for the same model, data, code and parameters. What the
    ``deadline`` leaves out is not compared.
    """
    deadline = deadline or Deadline()
    path = _stored_at(context, spec, head)
    stored = _read(path)
    if context.runtime.all_agree(stored is not None):
        assert stored is not None
        return stored
    found = _compare(context, classifier, spec, head, deadline)
    if context.runtime.is_main and not deadline.has_shortened:
        write_json(path, asdict(found))
    return found


def _compare(
    context: Context,
    classifier: Classifier,
    spec: ModelSpec,
    head: HeadMethod,
    deadline: Deadline,
) -> TrainingChoice:
    settings, blocks = context.params.unfreeze, len(classifier.blocks)
    alone, ways = head_alone(settings, blocks), trainings(settings, blocks)
    nothing = TrainingChoice(alone.name, _values(alone.values, 0), [])
    if not settings.epochs:
        return nothing
    native = meta_backbone(context.params.backbone.name).image_size
    scale = spec.preprocessing.image_size / native
    most = min(settings.compared_images, affordable(context.data, settings, len(ways), scale))
    images = head.in_compared_folds(development(context.data, most, context.params.seed))
    if not _has_classes_to_fit(images):
        return nothing
    trainer = FoldTrainer.start(context, classifier, spec.preprocessing, images, head)
    trainer = replace(trainer, choices=_stored_at(context, spec, head))
    base = trainer.result(alone, 0)
    first: list[FoldResult] = []
    for number, way in enumerate(ways, 1):
        place = f"round 1, {number} of {len(ways)}"
        first += [] if deadline.is_over() else _trained(trainer, way, 1, place)
    kept = going_on(first)
    more = more_epochs(settings)
    last = [] if more else kept
    for number, each in enumerate(kept if more else (), 1):
        place = f"round 2, {number} of {len(kept)}"
        # After the deadline, the result of the first round counts.
        over = deadline.is_over()
        last += [each] if over else _trained(trainer, each.candidate, more, place, each)
    winner, is_better = base, False
    if last:
        best = min(last, key=_loss)
        before = next(each for each in first if each.candidate == best.candidate)
        difference = paired_difference(best.losses, base.losses)
        is_better = difference.mean < -difference.standard_error
        expected = expected_loss(before, best, settings.epochs)
        if _loss(base) > loss_of_guessing(len(context.data.manifest.classes)):
            expected = min(expected, _loss(best))
        if is_better or expected < _loss(base):
            winner = best
    epochs = settings.epochs if winner is not base else 0
    earlier = [each for each in first if not any(each is one for one in last)]
    rows = [training_row(result, base, winner) for result in (base, *last, *earlier)]
    return TrainingChoice(
        winner.candidate.name, _values(winner.candidate.values, epochs), rows, is_better
    )


def _has_classes_to_fit(images: Development) -> bool:
    """Return whether the first fold, on which candidates train, has images of two classes."""
    return bool(images.folds) and len(np.unique(images.targets[images.folds[0].fit])) > 1


def _loss(result: FoldResult) -> float:
    return float(result.losses.mean())


def _trained(
    trainer: FoldTrainer,
    way: TrainingCandidate,
    epochs: int,
    place: str,
    after: FoldResult | None = None,
) -> list[FoldResult]:
    """Return the result of a training, which goes on from the result ``after``.

    ``place`` says for people which of all trainings it is. There is none if it diverges, does not
    fit into memory, or has too few images in a step.
    """
    is_main = trainer.context.runtime.is_main
    if is_main:
        more = f" more (after {after.epochs})" if after else ""
        say(f"comparing ({place}): {way.name}; {quantity(epochs, 'epoch')}{more}")
    try:
        return [trainer.result(way, epochs, after)]
    except (NotFiniteError, MemoryShortageError, FewImagesError) as error:
        if is_main:
            say(f"left out: {way.name}: {error}")
        return []


def _values(values: dict[str, Any], epochs: int) -> dict[str, Any]:
    return {**values, "epochs": epochs}


def _stored_at(context: Context, spec: ModelSpec, head: HeadMethod) -> Path:
    """Return the file of the choice for this model, data, code and parameters."""
    runtime = context.runtime
    key = provenance.key(
        result_values(context.params, ("seed", "augment", "regularize", "unfreeze", "launch")),
        context.data.digest,
        [parent.digest for parent in spec.parents],
        spec.preprocessing.model_dump(mode="json"),
        spec.head.model_dump(mode="json"),
        asdict(head),
        code_digests()["unfreeze"],
        runtime.precision.current,
        runtime.device.type,
        library_versions(),
    )
    return SCRATCH / "choices" / f"training-{key[:16]}.json"


def _read(path: Path) -> TrainingChoice | None:
    try:
        content = json.loads(path.read_text())
        rows = [TrainingRow(**row) for row in content["rows"]]
        return TrainingChoice(content["name"], content["values"], rows, content["is_better"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None

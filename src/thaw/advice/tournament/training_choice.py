"""Choose whether and how to fine-tune, by short trainings on one fold.

Successive halving in two rounds: all ways train for one epoch; the best one trains again for some
more. It must then be better than the head by more than one standard error of the paired difference.
After one epoch a training may be behind a head that was fitted to the end, so that the first round
does not compare with it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from thaw.advice.tournament.comparison import choose, paired
from thaw.advice.tournament.development import development
from thaw.advice.tournament.fold_training import FoldResult, FoldTrainer
from thaw.advice.tournament.training_candidates import head_alone, trainings
from thaw.config.section import AUTO
from thaw.config.values import result_values
from thaw.system import provenance
from thaw.system.code_digests import code_digests
from thaw.system.console import say
from thaw.system.csv_text import csv_text
from thaw.system.files import write_json, write_whole
from thaw.system.project_paths import SCRATCH
from thaw.training.optimizer_step import NotFiniteError
from thaw.training.out_of_memory import MemoryShortageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thaw.advice.tournament.choice_files import FittedHead
    from thaw.advice.tournament.training_candidates import TrainingCandidate
    from thaw.config.params import Params
    from thaw.config.training_sections import Unfreeze
    from thaw.context import Context
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec

_LAST_ROUND = 3  # epochs


@dataclass(frozen=True)
class TrainingRow:
    """A line of the leaderboard of trainings; errors are standard errors.

    ``difference`` is the paired difference of the calibrated log-loss to the head alone, in nats.
    """

    candidate: str
    epochs: int
    log_loss: float
    accuracy: float
    difference: float
    difference_error: float
    seconds: float
    chosen: bool


@dataclass(frozen=True)
class TrainingChoice:
    """Values of the section ``unfreeze``, and the leaderboard that they come from."""

    name: str
    values: dict[str, Any]
    rows: list[TrainingRow]

    def settings(self, own: Unfreeze) -> Unfreeze:
        """Return the section ``own`` with the chosen values."""
        return own.model_copy(update=self.values)


def write_leaderboard(rows: Sequence[TrainingRow], folder: Path) -> None:
    """Write ``leaderboard.csv`` into the report ``folder``; without rows, the names of columns."""
    names: list[object] = [field.name for field in fields(TrainingRow)]
    lines = [names, *(list(asdict(row).values()) for row in rows)]
    write_whole(folder / "leaderboard.csv", csv_text(lines).encode())


def is_chosen_by_training(params: Params, head: FittedHead) -> bool:
    """Return whether trainings are compared: ``depth`` is auto, and so was something of the head.

    Without that, ``depth: auto`` is the recommendation of measurements.
    """
    return params.unfreeze.depth == AUTO and not params.unfreeze.blocks and head.is_compared


def choose_training(
    context: Context, classifier: Classifier, spec: ModelSpec, head: FittedHead
) -> TrainingChoice:
    """Return the choice for ``classifier``, the model of the head warm-up.

    The choice is stored, and found again for the same model, data, code and parameters.
    """
    path = _stored_at(context, spec, head)
    stored = _read(path)
    if context.runtime.all_agree(stored is not None):
        assert stored is not None
        return stored
    found = _compare(context, classifier, spec, head)
    if context.runtime.is_main:
        write_json(path, asdict(found))
    return found


def _compare(
    context: Context, classifier: Classifier, spec: ModelSpec, head: FittedHead
) -> TrainingChoice:
    settings, blocks = context.params.unfreeze, len(classifier.blocks)
    alone = head_alone(settings, blocks)
    images = development(context.data, settings.compared_images, context.params.seed)
    images = head.folds(images)
    if not images.folds or not settings.epochs:
        return TrainingChoice(alone.name, _values(alone.values, 0), [])
    trainer = FoldTrainer.start(context, classifier, spec.preprocessing, images, head)
    base = trainer.result(alone, 0)
    first = [result for way in trainings(settings, blocks) for result in _trained(trainer, way, 1)]
    last: list[FoldResult] = []
    if first:
        best = min(first, key=lambda result: float(result.losses.mean()))
        last = _trained(trainer, best.candidate, min(_LAST_ROUND, settings.epochs))
    winner = choose([base, *last])
    epochs = settings.epochs if winner is not base else 0
    return TrainingChoice(
        winner.candidate.name,
        _values(winner.candidate.values, epochs),
        [_row(result, base, winner) for result in (base, *last, *first)],
    )


def _trained(trainer: FoldTrainer, way: TrainingCandidate, epochs: int) -> list[FoldResult]:
    """Return the result of a training; none if it diverges or does not fit into memory."""
    is_main = trainer.context.runtime.is_main
    if is_main:
        say(f"comparing: {way.name}, epochs: {epochs}")
    try:
        return [trainer.result(way, epochs)]
    except (NotFiniteError, MemoryShortageError) as error:
        if is_main:
            say(f"left out: {way.name}: {error}")
        return []


def _values(values: dict[str, Any], epochs: int) -> dict[str, Any]:
    return {**values, "epochs": epochs}


def _row(result: FoldResult, base: FoldResult, winner: FoldResult) -> TrainingRow:
    difference = paired(result.losses, base.losses)
    return TrainingRow(
        result.candidate.name,
        result.epochs,
        round(float(result.losses.mean()), 5),
        round(float(np.mean(result.right)), 5),
        round(difference.mean, 5),
        round(difference.error, 5),
        round(result.seconds, 2),
        result is winner,
    )


def _stored_at(context: Context, spec: ModelSpec, head: FittedHead) -> Path:
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
        torch.__version__,
    )
    return SCRATCH / "choices" / f"training-{key[:16]}.json"


def _read(path: Path) -> TrainingChoice | None:
    try:
        content = json.loads(path.read_text())
        rows = [TrainingRow(**row) for row in content["rows"]]
        return TrainingChoice(content["name"], content["values"], rows)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None

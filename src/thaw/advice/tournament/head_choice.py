"""Choose the input, the blocks and the fit of the head where ``params.yaml`` says ``auto``."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.advice.tournament.candidates import Input
from thaw.advice.tournament.deadline import Deadline
from thaw.advice.tournament.development import development
from thaw.advice.tournament.features import FeatureReader
from thaw.advice.tournament.head_tournament import HeadTournament, Space
from thaw.advice.tournament.leaderboard import Row, rows, shown_loss
from thaw.config.parameter_values import assumed, auto_keys, with_values
from thaw.config.result_values import result_values
from thaw.config.section import AUTO
from thaw.model.meta_classifier import meta_backbone
from thaw.registry.starting_model import begin
from thaw.system import provenance
from thaw.system.code_digests import code_digests
from thaw.system.console import say, warn
from thaw.system.files import write_json
from thaw.system.project_paths import SCRATCH
from thaw.system.tool_lock import library_versions
from thaw.training.calibration import loss_of_guessing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thaw.advice.tournament.development import Development
    from thaw.advice.tournament.leaderboard import Entry
    from thaw.config.params import Params
    from thaw.context import Context
    from thaw.literals import LinearFit

NOTHING_IS_AUTO = "nothing is auto"
KEYS = ("backbone.framing", "backbone.image_size", "head.taps", "warmup_head.fit")
# Images times classes above which inputs and blocks are compared by linear discriminants, whose
# cost does not grow with the classes.
_LARGE = 100_000


@dataclass(frozen=True)
class HeadChoice:
    """Values by dotted key in place of ``auto``, and the leaderboard that they come from.

    ``images`` were compared in ``folds`` folds; without rows nothing was compared, for the reason
    ``note``. If ``validation_differs``, validation images look different from training images, and
    the only fold predicts them from training images. ``guessing`` is the log-loss of equal
    probabilities for all classes, in nats.
    """

    values: dict[str, Any]
    rows: list[Row]
    images: int = 0
    folds: int = 0
    note: str = ""
    validation_differs: bool = False
    guessing: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the content of a JSON file, which :meth:`of_json` reads."""
        return asdict(self)

    def report(self) -> None:
        """Print what was chosen."""
        if self.values:
            listed = ", ".join(f"{key} {value}" for key, value in self.values.items())
            say(f"auto: {listed} ({self._reason})")
        limit = math.inf if self.guessing is None else self.guessing
        if any(row.chosen and row.log_loss >= limit for row in self.rows):
            warn(
                "no head predicts images that it has not seen better than guessing, whose log-loss "
                f"is {limit:.3f}: look at the labels, or use more images"
            )

    @property
    def _reason(self) -> str:
        if not self.rows:
            return self.note
        best = next(row for row in self.rows if row.chosen)
        return (
            f"{len(self.rows)} candidates on {self.images} images in {self._folds}: log-loss "
            f"{shown_loss(best.log_loss, self.images)}, accuracy "
            f"{best.accuracy:.3f} (standard error {best.accuracy_error:.3f})"
        )

    @property
    def _folds(self) -> str:
        if self.validation_differs:
            return "the given splits, because validation images look different"
        return f"{self.folds} folds"

    @classmethod
    def of_json(cls, content: dict[str, Any]) -> HeadChoice:
        """Return the choice in ``content``.

        Raises:
            KeyError, TypeError: ``content`` is not that of a choice.
        """
        rows = [Row(**row) for row in content["rows"]]
        return cls(**{**content, "rows": rows})


def choose_head(context: Context, parent: str, deadline: Deadline | None = None) -> HeadChoice:
    """Return the choice for the opened project, whose model starts from ``parent``.

    What the ``deadline`` leaves out is not compared.

    Training and validation images are read, never those of the test split. The choice is stored,
    and found again for the same data, weights, code and parameters. Where nothing is ``auto``,
    nothing is compared.
    """
    if not any(key in KEYS for key in auto_keys(context.params)):
        return HeadChoice({}, [], note=NOTHING_IS_AUTO)
    params = context.params
    native = meta_backbone(params.backbone.name).image_size
    if params.backbone.weights == "none":
        note = "backbone.weights is none: there are no pretrained features to compare"
        return _uncompared(params, native, "gradient", note)
    images = development(context.data, params.warmup_head.compared_images, params.seed)
    if not images.folds:
        note = "there are too few images for a cross-validation"
        return _uncompared(params, native, "logistic", note)
    start = with_values(assumed(params), {"head.taps": [], "head.hidden": []})
    classifier, spec = begin(start, start.head, context.data, parent)
    path = _stored_at(context, spec.parents[-1].digest)
    stored = _read(path)
    if context.runtime.all_agree(stored is not None):
        assert stored is not None
        return stored
    reader = FeatureReader(context, classifier, spec.preprocessing, images)
    space = space_of(params, images, native)
    deadline = deadline or Deadline()
    tournament = HeadTournament(reader, space, context.runtime.is_main, deadline=deadline)
    differs = tournament.validation_differs()
    if differs:
        tournament = replace(tournament, reader=replace(reader, development=images.by_split()))
    winner = tournament.run()
    found = _result(params, tournament, winner, validation_differs=differs)
    chosen = with_values(params, found.values)
    reader.share(winner.candidate.input, begin(chosen, chosen.head, context.data, parent)[0])
    if context.runtime.is_main and not deadline.has_shortened:
        write_json(path, found.as_json())
    return found


def _result(
    params: Params, tournament: HeadTournament, winner: Entry, *, validation_differs: bool
) -> HeadChoice:
    images = tournament.reader.development
    return HeadChoice(
        _winner_values(params, winner, len(tournament.reader.classifier.blocks)),
        rows(tournament.entries, winner),
        len(images.ids),
        len(images.folds),
        validation_differs=validation_differs,
        guessing=loss_of_guessing(len(tournament.reader.context.data.manifest.classes)),
    )


def _stored_at(context: Context, weights: str) -> Path:
    """Return the file of the choice for this data, these weights, this code and parameters."""
    runtime = context.runtime
    key = provenance.key(
        result_values(context.params, ("seed", "backbone", "head", "warmup_head", "regularize")),
        context.data.digest,
        weights,
        code_digests()["warmup_head"],
        runtime.precision.current,
        runtime.device.type,
        library_versions(),
    )
    return SCRATCH / "choices" / f"head-{key[:16]}.json"


def _read(path: Path) -> HeadChoice | None:
    try:
        return HeadChoice.of_json(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def space_of(params: Params, images: Development, native: int) -> Space:
    """Return what is free in the comparison of heads: the values that are ``auto``."""
    backbone, taps, fit = params.backbone, params.head.taps, params.warmup_head.fit
    shapes = images.data.store.shapes(images.ids)
    is_large = len(images.ids) * len(images.data.manifest.classes) > _LARGE
    screening: LinearFit = "lda" if is_large else "logistic"
    return Space(
        framing=None if backbone.framing == AUTO else backbone.framing,
        image_size=None if backbone.image_size == AUTO else backbone.image_size,
        crop_pct=backbone.crop_pct,
        blocks=None if taps == AUTO else tuple(params.head.fixed_taps),
        fit=None if fit == AUTO else "logistic" if fit == "gradient" else fit,
        side=int(np.median(shapes.max(axis=1))),
        native=native,
        images_are_square=bool((shapes[:, 0] == shapes[:, 1]).all()),
        most_inputs=params.warmup_head.compared_inputs,
        balanced=params.regularize.class_weights == "balanced",
        screening=screening,
    )


def _winner_values(params: Params, winner: Entry, blocks: int) -> dict[str, Any]:
    candidate, chosen = winner.candidate, winner.candidate.input
    values = _values(params, chosen, [] if candidate.blocks == (blocks,) else candidate.blocks)
    if params.warmup_head.fit == AUTO:
        values["warmup_head.fit"] = candidate.fit
        values["warmup_head.strength"] = winner.found.strength
    return values


def _values(params: Params, chosen: Input, taps: Sequence[int]) -> dict[str, Any]:
    """Return the values of the input and the blocks for those that are ``auto``."""
    values: dict[str, Any] = {}
    if params.backbone.framing == AUTO:
        values |= {"backbone.framing": chosen.framing, "backbone.crop_pct": chosen.crop_pct}
    if params.backbone.image_size == AUTO:
        values["backbone.image_size"] = chosen.image_size
    if params.head.taps == AUTO:
        values["head.taps"] = list(taps)
    return values


def _uncompared(params: Params, native: int, fit: str, note: str) -> HeadChoice:
    """Return the defaults, where nothing can be compared."""
    size = params.backbone.image_size
    values = _values(params, Input("crop", native if size == AUTO else size, 1.0), [])
    if params.warmup_head.fit == AUTO:
        values["warmup_head.fit"] = fit
    return HeadChoice(values, [], note=note)

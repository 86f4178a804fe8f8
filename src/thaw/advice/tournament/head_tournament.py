"""The tournament of heads on frozen features: first the input, then the blocks, then the fit.

Each step compares its candidates on the same folds and keeps one by the one-standard-error rule,
so that a costlier input or head must lead by more than noise.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch

from thaw.advice.linear_probes import split_test
from thaw.advice.measurements import are_different
from thaw.advice.tournament.candidates import Candidate, Input, block_sets, framings, sizes
from thaw.advice.tournament.comparison import choose_cheapest
from thaw.advice.tournament.deadline import Deadline
from thaw.advice.tournament.leaderboard import Entry
from thaw.advice.tournament.out_of_fold import OutOfFold, out_of_fold
from thaw.errors import ThawError
from thaw.literals import LinearFit
from thaw.model.assembly import beyond
from thaw.system.console import progress
from thaw.training.calibration import loss_of_guessing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from thaw.advice.tournament.features import FeatureReader
    from thaw.literals import Framing

STRENGTHS: dict[LinearFit, tuple[float, ...]] = {
    "logistic": (1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
    "svm": (1e-6, 1e-5, 1e-4, 1e-3),
    "lda": (0.01, 0.03, 0.1, 0.3, 0.6, 1.0),
}
_KINDS: tuple[LinearFit, ...] = get_args(LinearFit)


@dataclass(frozen=True)
class Space:
    """The values that are free (None); a given value is the only candidate of its kind.

    Of ``blocks``, () is the last block. ``screening`` is the fit that inputs and blocks are
    compared with, where it is free. Classes have equal weights in the fits if ``balanced``.
    ``images_are_square`` and ``side``, the median longer side in pixels, are those of the images.
    ``native`` is the side that the weights were made for.
    """

    framing: Framing | None
    image_size: int | None
    crop_pct: float
    blocks: tuple[int, ...] | None
    fit: LinearFit | None
    side: int
    native: int
    images_are_square: bool
    most_inputs: int
    balanced: bool
    screening: LinearFit


@dataclass
class HeadTournament:
    """A running tournament: the reader of features, the free values, and what was compared.

    The first candidate is compared also after the ``deadline``.
    """

    reader: FeatureReader
    space: Space
    show: bool = True
    entries: list[Entry] = field(default_factory=list)
    deadline: Deadline = field(default_factory=Deadline)

    def __post_init__(self) -> None:
        """Refuse blocks that the network does not have.

        Raises:
            ThawError: it has fewer blocks than a given number.
        """
        count, highest = len(self.reader.classifier.blocks), max(self.space.blocks or (), default=0)
        if highest > count:
            raise ThawError(beyond(highest, count))

    def run(self) -> Entry:
        """Compare all steps and return the chosen entry."""
        best = self._choose_input()
        best = self._step("blocks", best, self._block_candidates(best.candidate))
        return self._step("fit", best, self._fit_candidates(best.candidate))

    def validation_differs(self) -> bool:
        """Return whether validation images look different from training images.

        A linear classifier on the last block's features for the first input separates them.
        """
        images, runtime = self.reader.development, self.reader.context.runtime
        if images.is_validation.all() or not images.is_validation.any():
            return False
        features = self.reader.read(self._framings(self._sides()[0])[0])
        last = features.of([len(features.widths)])
        differs = runtime.is_main and are_different(
            split_test(last, images.is_validation.astype(np.int64), images.groups, seed=0)
        )
        return float(runtime.sum(torch.tensor(float(differs)))) > 0

    def _choose_input(self) -> Entry:
        """Compare the framings at the first size, then larger sizes with the best framing."""
        count = len(self.reader.classifier.blocks)
        blocks = self.space.blocks or (count,)
        fit = self.space.fit or self.space.screening
        sides = self._sides()

        def candidates(inputs: Sequence[Input]) -> list[Candidate]:
            return [Candidate(chosen, blocks, fit) for chosen in inputs]

        first, *others = self._framings(sides[0])
        start = self._score("framing", Candidate(first, blocks, fit))
        best = self._step("framing", start, candidates(others))
        for side in sides[1:]:
            if len(self.reader.computed) >= self.space.most_inputs or self.deadline.is_over():
                break
            chosen = best.candidate.input
            larger = Input(chosen.framing, side, chosen.crop_pct)
            better = self._step("size", best, candidates([larger]))
            if better is best and side >= self.space.native:
                break
            best = better
        return best

    def _sides(self) -> list[int]:
        given = self.space.image_size
        if given is not None:
            return [given]
        found = [s for s in sizes(self.space.native, self.space.side) if self.reader.accepts(s)]
        return found or [self.space.native]

    def _framings(self, side: int) -> list[Input]:
        found = framings(side, self.space.crop_pct, all_square=self.space.images_are_square)
        if self.space.framing is None:
            return found
        return [Input(self.space.framing, side, self.space.crop_pct)]

    def _block_candidates(self, best: Candidate) -> list[Candidate]:
        if self.space.blocks is not None:
            return []
        sets = block_sets(len(self.reader.classifier.blocks))
        return [Candidate(best.input, blocks, best.fit) for blocks in sets if blocks != best.blocks]

    def _fit_candidates(self, best: Candidate) -> list[Candidate]:
        if self.space.fit is not None:
            return []
        return [Candidate(best.input, best.blocks, kind) for kind in _KINDS if kind != best.fit]

    def _step(self, name: str, best: Entry, candidates: Sequence[Candidate]) -> Entry:
        """Return the entry that is chosen among ``best`` and ``candidates``."""
        shown = progress(candidates, f"comparing: {name}", len(candidates), show=self.show)
        found = [best]
        for candidate in shown:
            if self.deadline.is_over():
                break
            found.append(self._score(name, candidate))
        return choose_cheapest(found, guessing=loss_of_guessing(self._classes))

    def _score(self, step: str, candidate: Candidate) -> Entry:
        begun = time.perf_counter()
        features = self.reader.read(candidate.input)
        development = self.reader.development
        found = self._shared(candidate, features.of(candidate.blocks))
        right = found.logits.argmax(axis=1) == development.targets[development.predicted]
        entry = Entry(
            step,
            candidate,
            found,
            right.astype(np.float64),
            self._price(candidate),
            time.perf_counter() - begun,
        )
        self.entries.append(entry)
        return entry

    def _shared(self, candidate: Candidate, features: NDArray[np.float32]) -> OutOfFold:
        """Return the predictions of the first process, in all of them."""
        runtime, images = self.reader.context.runtime, self.reader.development
        if runtime.is_main:
            found = out_of_fold(
                candidate.fit,
                features,
                images.targets,
                images.folds,
                STRENGTHS[candidate.fit],
                balanced=self.space.balanced,
            )
        if runtime.world == 1:
            return found
        count, classes = len(images.predicted), self._classes
        packed = np.zeros((count, classes + 2))
        if runtime.is_main:
            packed = np.column_stack([found.logits, found.losses, np.full(count, found.strength)])
        packed = runtime.sum(torch.from_numpy(packed)).cpu().numpy()
        return OutOfFold(packed[:, :classes], packed[:, classes], float(packed[0, -1]))

    @property
    def _classes(self) -> int:
        return int(self.reader.development.targets.max()) + 1

    def _price(self, candidate: Candidate) -> float:
        """Return the pixels of an image times the share of the blocks that it passes."""
        share = candidate.blocks[-1] / len(self.reader.classifier.blocks)
        return candidate.input.image_size**2 * share

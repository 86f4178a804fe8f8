"""Train candidates on one fold and predict its images: fine-tuning against the head alone."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from thaw.advice.tournament.candidates import Input
from thaw.advice.tournament.features import FeatureReader
from thaw.advice.tournament.out_of_fold import out_of_fold
from thaw.advice.tournament.start_head import of_all_classes, small_head, starts_small
from thaw.context import Context, Phase
from thaw.data.loading import ImageSource
from thaw.system import provenance
from thaw.training.calibration import kept_losses
from thaw.training.linear_heads import bounded_temperature, set_head, strengths
from thaw.training.linear_paths import LinearMap, path
from thaw.training.observer import Observer
from thaw.training.phase_inputs import PhaseInputs, phase_inputs
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from thaw.advice.folds import Fold
    from thaw.advice.tournament.development import Development
    from thaw.advice.tournament.stage_choices import HeadMethod
    from thaw.advice.tournament.training_candidates import TrainingCandidate
    from thaw.config.data_sections import FixedAugment
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier

_VALIDATED = 8  # images


@dataclass(frozen=True)
class FoldResult:
    """A candidate after ``epochs`` epochs on a fold.

    ``losses`` (N,) are the log-losses of the images that the fold predicts, with the calibration
    that the model would keep. ``right`` (N,) is 1 for each that is classified correctly. ``model``
    is what the training ended with.
    """

    candidate: TrainingCandidate
    epochs: int
    losses: NDArray[np.float64]
    right: NDArray[np.float64]
    seconds: float
    model: Classifier | None = None


@dataclass(frozen=True)
class FoldTrainer:
    """Trains on the images of a fold, from a head that is fitted to them.

    ``classifier`` is the model of the head warm-up with this head. It is not changed. ``small`` is
    the other head to start from. The names of the files in which trainings store measured choices
    begin with that of ``choices``.
    """

    context: Context
    classifier: Classifier
    preprocessing: Preprocessing
    images: Development
    fold: Fold
    small: LinearMap | None = None
    choices: Path | None = None

    @classmethod
    def start(
        cls,
        context: Context,
        classifier: Classifier,
        preprocessing: Preprocessing,
        images: Development,
        head: HeadMethod,
    ) -> FoldTrainer:
        """Return a trainer for the first fold, with the head that is fitted to its images."""
        started = copy.deepcopy(classifier)
        trainer = cls(context, started, preprocessing, images, images.folds[0])
        features = trainer._features()
        set_head(started.head, trainer._head(head, features))
        return replace(trainer, small=trainer._small(features))

    def result(
        self, candidate: TrainingCandidate, epochs: int, after: FoldResult | None = None
    ) -> FoldResult:
        """Train ``candidate`` for ``epochs`` epochs and predict the images of the fold.

        It goes on from the result ``after`` of the same candidate, with the learning rate of a new
        training (Loshchilov & Hutter 2017, warm restarts).
        """
        begun = time.perf_counter()
        done = after.epochs if after else 0
        model = self._start(candidate) if after is None else after.model
        assert model is not None
        settings = candidate.of(epochs)
        params = self.context.params
        augmentation = params.augment.fixed() if candidate.depth else None
        # The last epoch is judged. The best one would be chosen on the images that judge it.
        phase = Phase(
            candidate.plan,
            settings,
            self.preprocessing,
            augmentation,
            settings.lr_decay,
            keeps_last=True,
        )
        # Another seed: else the images would be augmented in the same way again.
        params = params.model_copy(update={"seed": params.seed + done})
        context = replace(self.context, params=params, open_inputs=self._inputs)
        if epochs:
            context.train(model, phase, Observer(choices=self._choices(candidate, epochs, done)))
        outputs = logits(context.runtime, model.eval(), self._predicted(), "predicting")
        scores, targets = outputs.double().numpy(), self.images.targets[self.fold.predict]
        return FoldResult(
            candidate,
            done + epochs,
            kept_losses(scores, targets, params.regularize.calibration),
            (scores.argmax(axis=1) == targets).astype(np.float64),
            time.perf_counter() - begun + (after.seconds if after else 0.0),
            model.cpu(),  # the models of all candidates may not fit into a GPU
        )

    def _choices(self, candidate: TrainingCandidate, epochs: int, done: int) -> Path | None:
        """Return the file of measured choices, by which a killed stage repeats its trainings."""
        if self.choices is None:
            return None
        key = provenance.key(candidate.values, epochs, done)[:8]
        return self.choices.with_name(f"{self.choices.stem}-{key}.json")

    def _start(self, candidate: TrainingCandidate) -> Classifier:
        """Return a copy of the model with the head that ``candidate`` starts from."""
        model = copy.deepcopy(self.classifier)
        if starts_small(candidate.batch_norm) and candidate.depth:
            assert self.small is not None
            set_head(model.head, self.small)
        return model

    def _predicted(self) -> ImageSource:
        return self._source(self.context, self.fold.predict, None)

    def _inputs(self, context: Context, model: Classifier, phase: Phase) -> PhaseInputs:
        """Return the images of the fold, or their activations below the blocks that train.

        Few images are validated in every epoch: they show whether the loss is finite.
        """
        cache = context.cache(self.preprocessing)
        fold = provenance.key(cache.data, self.images.ids.tolist(), self.fold.fit.tolist())
        return phase_inputs(
            context.runtime,
            model,
            self._source(context, self.fold.fit, phase.augmentation),
            self._source(context, self.fold.predict[:_VALIDATED], None),
            phase.plan.cut,
            replace(cache, data=fold),
        )

    def _source(
        self, context: Context, places: NDArray[np.int64], augmentation: FixedAugment | None
    ) -> ImageSource:
        data, seed = context.data, context.params.seed
        ids = self.images.ids[places]
        return ImageSource(
            data.store, ids, data.manifest.targets, self.preprocessing, seed, augmentation
        )

    def _head(self, head: HeadMethod, features: NDArray[np.float32]) -> LinearMap:
        """Return the head that is fitted to the images of the fold, of the kind of ``head``."""
        kind = "logistic" if head.fit == "gradient" else head.fit
        targets = self.images.targets
        fit, wanted = features[self.fold.fit], targets[self.fold.fit]
        tried = strengths(kind, head.strength)
        known = out_of_fold(kind, features, targets, [self.fold], tried, balanced=self._balanced)
        known_classes, numbered = np.unique(wanted, return_inverse=True)
        (found,) = path(kind, (fit, numbered), [known.strength], balanced=self._balanced)
        scale = 1.0
        if kind != "logistic":
            scale = bounded_temperature(known.logits, targets[np.sort(self.fold.predict)])
        scaled = LinearMap(found.weight * scale, found.bias * scale)
        return of_all_classes(scaled, known_classes, self._classes)

    def _small(self, features: NDArray[np.float32]) -> LinearMap:
        fit = self.fold.fit
        targets = self.images.targets[fit]
        return small_head(features[fit], targets, self._classes, balanced=self._balanced)

    @property
    def _balanced(self) -> bool:
        return self.context.params.regularize.class_weights == "balanced"

    @property
    def _classes(self) -> int:
        return len(self.context.data.manifest.classes)

    def _features(self) -> NDArray[np.float32]:
        """Return what the head reads (N, F), for all images.

        Where the comparison of heads has read these images in this input, they are in the cache.
        """
        reader = FeatureReader(self.context, self.classifier, self.preprocessing, self.images)
        return reader.read(Input.read_by(self.preprocessing)).of(self.classifier.taps)

"""Train candidates on one fold and predict its images: fine-tuning against the head alone."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from thaw.advice.tournament.out_of_fold import out_of_fold
from thaw.context import Context, Phase
from thaw.data.loading import ImageSource
from thaw.model.frozen_part import FrozenPart
from thaw.system import provenance
from thaw.training.cached_activations import CachedActivations
from thaw.training.calibration import calibrated_losses
from thaw.training.linear_heads import bounded_temperature, set_head, strengths
from thaw.training.linear_paths import LinearMap, path
from thaw.training.observer import Observer
from thaw.training.phase_inputs import PhaseInputs, phase_inputs
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.advice.folds import Fold
    from thaw.advice.tournament.choice_files import FittedHead
    from thaw.advice.tournament.development import Development
    from thaw.advice.tournament.training_candidates import TrainingCandidate
    from thaw.config.data_sections import Augment
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier


@dataclass(frozen=True)
class FoldResult:
    """A candidate after ``epochs`` epochs on a fold.

    ``losses`` (N,) are the calibrated log-losses of the images that the fold predicts, ``right``
    (N,) is 1 for each that is classified correctly.
    """

    candidate: TrainingCandidate
    epochs: int
    losses: NDArray[np.float64]
    right: NDArray[np.float64]
    seconds: float

    @property
    def price(self) -> float:
        """Return 0 for the head alone, which needs no training, else 1."""
        return float(self.candidate.depth > 0)


@dataclass(frozen=True)
class FoldTrainer:
    """Trains on the images of a fold, from a head that is fitted to them.

    ``classifier`` is the model of the head warm-up. It is not changed.
    """

    context: Context
    classifier: Classifier
    preprocessing: Preprocessing
    images: Development
    fold: Fold

    @classmethod
    def start(
        cls,
        context: Context,
        classifier: Classifier,
        preprocessing: Preprocessing,
        images: Development,
        head: FittedHead,
    ) -> FoldTrainer:
        """Return a trainer for the first fold, with the head that is fitted to its images."""
        started = copy.deepcopy(classifier)
        trainer = cls(context, started, preprocessing, images, images.folds[0])
        set_head(started.head, trainer._head(head))
        return trainer

    def result(self, candidate: TrainingCandidate, epochs: int) -> FoldResult:
        """Train ``candidate`` for ``epochs`` epochs and predict the images of the fold."""
        begun = time.perf_counter()
        model = copy.deepcopy(self.classifier)
        settings = candidate.of(epochs)
        augmentation = self.context.params.augment if candidate.depth else None
        # The last epoch is judged. The best one would be chosen on the images that judge it.
        phase = Phase(
            candidate.plan,
            settings,
            self.preprocessing,
            augmentation,
            settings.lr_decay,
            keeps_last=True,
        )
        context = replace(self.context, open_inputs=self._inputs)
        context.train(model, phase, Observer())
        inputs = self._inputs(context, model, phase)
        outputs = logits(context.runtime, model.part(inputs.cut), inputs.val, "predicting")
        scores, targets = outputs.double().numpy(), inputs.val.targets
        return FoldResult(
            candidate,
            epochs,
            calibrated_losses(scores, targets),
            (scores.argmax(axis=1) == targets).astype(np.float64),
            time.perf_counter() - begun,
        )

    def _inputs(self, context: Context, model: Classifier, phase: Phase) -> PhaseInputs:
        """Return the images of the fold, or their activations below the blocks that train."""
        cache = context.cache(self.preprocessing)
        fold = provenance.key(cache.data, self.images.ids.tolist(), self.fold.fit.tolist())
        return phase_inputs(
            context.runtime,
            model,
            self._source(self.fold.fit, phase.augmentation),
            self._source(self.fold.predict, None),
            phase.plan.cut,
            replace(cache, data=fold),
        )

    def _source(self, places: NDArray[np.int64], augmentation: Augment | None) -> ImageSource:
        data, seed = self.context.data, self.context.params.seed
        ids = self.images.ids[places]
        return ImageSource(
            data.store, ids, data.manifest.targets, self.preprocessing, seed, augmentation
        )

    def _head(self, head: FittedHead) -> LinearMap:
        """Return the head that is fitted to the images of the fold, of the kind of ``head``."""
        kind = "logistic" if head.fit == "gradient" else head.fit
        features = self._features()
        targets, params = self.images.targets, self.context.params
        balanced = params.regularize.class_weights == "balanced"
        fit, wanted = features[self.fold.fit], targets[self.fold.fit]
        known = out_of_fold(
            kind, features, targets, [self.fold], strengths(kind, head.strength), balanced=balanced
        )
        known_classes, numbered = np.unique(wanted, return_inverse=True)
        (found,) = path(kind, (fit, numbered), [known.strength], balanced=balanced)
        scale = 1.0
        if kind != "logistic":
            scale = bounded_temperature(known.logits, targets[np.sort(self.fold.predict)])
        classes = len(self.context.data.manifest.classes)
        weight = np.zeros((classes, features.shape[1]))
        bias = np.full(classes, found.bias.min() * scale)
        weight[known_classes], bias[known_classes] = found.weight * scale, found.bias * scale
        return LinearMap(weight, bias)

    def _features(self) -> NDArray[np.float32]:
        """Return what the head reads (N, F), for all images."""
        context, model = self.context, self.classifier
        cached = CachedActivations(context.runtime, context.cache(self.preprocessing))
        source = self.images.source(self.preprocessing)
        label = f"compared {provenance.key(source.ids.tolist())[:16]}"
        part = FrozenPart(model.part(0, model.outline.blocks))
        found = cached.of(part, source, label)
        values: NDArray[np.float32] = found.read(np.arange(len(found))).numpy()
        return values

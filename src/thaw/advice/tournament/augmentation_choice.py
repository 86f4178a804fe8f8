"""Choose crops and flips by what the head of the head warm-up tolerates.

A change of an image is harmless where it leaves the class recognisable. The fitted head measures
that without any training: it predicts validation images with and without the change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.advice.folds import subsample
from thaw.advice.recommendation import ROBUST_AUGMENTATION
from thaw.advice.tournament.comparison import paired_difference
from thaw.config.data_sections import DEFAULT_CROP, DEFAULT_FLIP, FixedAugment
from thaw.config.parameter_values import value_of
from thaw.config.params import Params
from thaw.config.section import AUTO
from thaw.data.loading import ImageSource
from thaw.data.split_names import VAL
from thaw.system.console import say
from thaw.training.calibration import calibrated_losses
from thaw.training.runtime import logits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from thaw.context import Context
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier

_CROPS = (DEFAULT_CROP, 0.2)  # the largest that is tolerated is taken
_MOST_IMAGES = 1000
# Shares of the loss by which it may rise. A crop makes an image harder to recognise, which is its
# purpose; a mirror image that is harder to recognise has another meaning.
_TOLERATED = {"crop": 0.15, "flip": 0.05}


def choose_augmentation(
    context: Context,
    classifier: Classifier,
    preprocessing: Preprocessing,
    *,
    validation_differs: bool,
) -> dict[str, float]:
    """Return the values by dotted key for what of the section ``augment`` is ``auto``.

    ``classifier`` is the model of the head warm-up. If ``validation_differs``, validation images
    look different from training images, and changes of light, colour and noise that have their
    default are turned on as well. Empty if neither ``crop`` nor ``flip`` is ``auto``.
    """
    section = context.params.augment
    if AUTO not in {section.crop, section.flip}:
        return {}
    judge = _Judge(context, classifier, preprocessing)
    values: dict[str, float] = {}
    if section.crop == AUTO:
        tolerated = (crop for crop in _CROPS if judge.tolerates("crop", crop, crop))
        values["augment.crop"] = next(tolerated, 0.0)
    if section.flip == AUTO:
        values["augment.flip"] = DEFAULT_FLIP if judge.tolerates("flip", 1.0, DEFAULT_FLIP) else 0.0
    if validation_differs:
        values |= _robust(context.params)
    return values


def _robust(params: Params) -> dict[str, float]:
    """Return the values against different validation images for parameters with their default."""
    default = Params()
    return {
        key: value
        for key, value in ROBUST_AUGMENTATION.items()
        if value_of(params, key) == value_of(default, key)
    }


class _Judge:
    """The loss of a model on validation images, as they are and changed."""

    def __init__(
        self, context: Context, classifier: Classifier, preprocessing: Preprocessing
    ) -> None:
        self._context, self._preprocessing = context, preprocessing
        self._classifier = classifier.eval()
        targets, ids = context.data.manifest.targets, context.data.manifest.ids(VAL)
        self._ids = ids[subsample(targets[ids], context.params.seed, _MOST_IMAGES)]
        self._plain = self._losses(FixedAugment.only())

    def tolerates(self, name: str, strength: float, value: float) -> bool:
        """Return whether the loss hardly rises if all images are changed with ``strength``.

        ``value`` is the value of the parameter ``name`` that this decides.
        """
        difference = paired_difference(
            self._losses(FixedAugment.only(**{name: strength})), self._plain
        )
        least = _TOLERATED[name] * float(self._plain.mean())
        tolerated = not difference.mean > max(least, 2 * difference.standard_error)
        if self._context.runtime.is_main:
            say(
                f"augment.{name} auto: {value:g} is {'tolerated' if tolerated else 'not tolerated'}"
                f" (loss of the head on changed validation images {difference.mean:+.3f}, standard "
                f"error {difference.standard_error:.3f})"
            )
        return tolerated

    def _losses(self, changes: FixedAugment) -> NDArray[np.float64]:
        context = self._context
        source = ImageSource(
            context.data.store,
            self._ids,
            context.data.manifest.targets,
            self._preprocessing,
            context.params.seed,
            changes,
        )
        outputs = logits(context.runtime, self._classifier, source, "changed images", 1)
        return calibrated_losses(outputs.double().numpy(), source.targets)

"""The section ``regularize`` of ``params.yaml``: regularisation and calibration of every stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from thaw.config.parameter import parameter
from thaw.config.section import AUTO, Fraction, Section
from thaw.literals import CalibrationMap

CalibrationSetting = Literal["auto", "off", CalibrationMap]
DEFAULT_SMOOTHING = 0.1
_Penalty = Annotated[float, Field(ge=0.0, le=1000.0)]


class Regularize(Section):
    """Regularisation and calibration in every training stage."""

    label_smoothing: Fraction | Literal["auto"] = parameter(
        DEFAULT_SMOOTHING,
        "Share of the target that is spread over all classes. auto: 0 where blocks train with the "
        "running statistics of BatchNorm (batch_norm: frozen or fixed), else 0.1.",
        source="Szegedy et al. 2016",
    )
    clip_norm: Annotated[float, Field(gt=0.0, le=1e6)] = parameter(
        1.0, "Largest norm of the gradient.", source="Pascanu et al. 2013"
    )
    l1: _Penalty = parameter(
        0.0, "Strength of the L1 penalty on weight matrices.", source="Tibshirani 1996"
    )
    l2_sp: _Penalty = parameter(
        0.0,
        "Strength of the pull of the backbone's weights towards those that the stage started from.",
        source="Li et al. 2018",
    )
    gradient_noise: _Penalty = parameter(
        0.0,
        "Variance of the gradient noise at step 0; it falls as 1 / (1 + step) ** 0.55.",
        source="Neelakantan et al. 2015",
    )
    ema: Fraction = parameter(
        0.0,
        "Decay of the moving average of the weights, which is scored and kept; 0.999 is usual, 0 "
        "keeps no average.",
        source="Polyak & Juditsky 1992",
    )
    class_weights: Literal["none", "balanced"] = parameter(
        "none",
        "balanced gives each class the same weight in the loss, however many images it has.",
        source="King & Zeng 2001",
    )
    calibration: CalibrationSetting = parameter(
        "off",
        "Map of the logits, fitted on the validation split after training, so that probabilities "
        "are shares of correct images. temperature scales all logits by one factor; vector has a "
        "factor and an offset for each class; auto takes what lowers the cross-fitted log-loss.",
        source="Guo et al. 2017",
    )

    def without_auto(self, *, keeps_statistics: bool) -> Regularize:
        """Return the section with a number for ``label_smoothing``.

        ``keeps_statistics`` is true if blocks train with the running statistics of BatchNorm.
        """
        if self.label_smoothing != AUTO:
            return self
        value = 0.0 if keeps_statistics else DEFAULT_SMOOTHING
        return self.model_copy(update={"label_smoothing": value})

"""The settings of a training phase, apart from the model and the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from thaw.config.process_sections import CompileSetting
    from thaw.config.regularize_section import CalibrationSetting, Regularize
    from thaw.config.training_sections import Training


@dataclass(frozen=True)
class TrainingSetup:
    """The settings of one training phase.

    ``regularize`` has a number for ``label_smoothing``.
    ``lr_decay`` is the factor between the learning rates of neighbouring blocks. With
    ``gradual_epochs`` above 0, one more block starts to train after each that many epochs.
    ``accumulate`` and ``compile`` are as in the section ``launch``. With ``keeps_last`` the weights
    of the last epoch are kept instead of those with the lowest validation loss. Without
    ``keeps_start``, the weights at the start are never kept after an epoch. Validation
    losses are those with the ``calibration`` that is kept. With ``graphs``, steps on a GPU may be
    CUDA graphs (``resources.cuda_graphs``).
    """

    settings: Training
    regularize: Regularize
    seed: int
    lr_decay: float = 1.0
    gradual_epochs: int = 0
    accumulate: int | Literal["auto"] = 1
    compile: CompileSetting = "off"
    keeps_last: bool = False
    keeps_start: bool = True
    calibration: CalibrationSetting = "off"
    graphs: bool = False

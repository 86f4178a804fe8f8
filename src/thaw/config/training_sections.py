"""The sections of ``params.yaml`` that configure training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from thaw.config.parameter import parameter
from thaw.config.section import AUTO, AutoOnOff, AutoOrOff, Block, Fraction, Section
from thaw.literals import BatchNormPolicy, HeadFit
from thaw.optimizers.registry import OPTIMIZERS

if TYPE_CHECKING:
    OptimizerName = str  # a type checker cannot read names that are computed
else:
    OptimizerName = Literal[*OPTIMIZERS]
ScheduleName = Literal["cosine", "constant"]
_Epochs = Annotated[int, Field(ge=0, le=100_000)]
_BatchSize = Annotated[int, Field(ge=1, le=65_536)] | Literal["auto"]
_Rate = Annotated[float, Field(gt=0.0, le=100.0)]
_Decay = Annotated[float, Field(gt=0.0, le=1.0)]
_Penalty = Annotated[float, Field(ge=0.0, le=1000.0)]
_Strength = Annotated[float, Field(gt=0.0, le=1e6)]
_Tolerance = Annotated[float, Field(gt=0.0, le=1.0)]
_EPOCHS = "Number of passes over the training split; 0 trains nothing."
_BATCH = (
    "Images per step, over all processes together. auto is the default, computed in as few parts "
    "as fit into the memory of the devices."
)
_LR_DECAY = "The learning rate of a block is lr * lr_decay ** (its distance from the head)."
_SETTINGS = [f"{name} has {kind.settings}" for name, kind in OPTIMIZERS.items() if kind.settings]
_HOWARD = "Howard & Ruder 2018"


class Training(Section):
    """Parameters that every training stage has."""

    epochs: _Epochs = parameter(20, _EPOCHS, unit="epochs")
    batch_size: _BatchSize = parameter(64, _BATCH, unit="images")
    optimizer: OptimizerName = parameter(
        "adamw",
        f"{'; '.join(['Optimiser', *_SETTINGS])}.",
        source="; ".join(kind.source for kind in OPTIMIZERS.values()),
    )
    lr: _Rate = parameter(0.002, "Peak learning rate of the head.")
    schedule: ScheduleName = parameter(
        "cosine",
        "Learning rate after the learning-rate warm-up.",
        source="Loshchilov & Hutter 2017",
    )
    warmup_fraction: Fraction = parameter(
        0.0,
        "Share of the steps over which the learning rate rises from 0.",
        source="Goyal et al. 2017",
    )
    weight_decay: _Penalty = parameter(
        0.01,
        "Decoupled weight decay; biases and normalisation layers have none.",
        source="Loshchilov & Hutter 2019",
    )
    patience: Annotated[int, Field(ge=1, le=100_000)] = parameter(
        5,
        "Epochs without a lower validation loss after which training stops; the best one is kept.",
        unit="epochs",
        source="Prechelt 1998",
    )

    @property
    def images_per_step(self) -> int:
        """The images of a step over all processes; with ``batch_size: auto``, the default."""
        if self.batch_size == AUTO:
            return int(type(self).model_fields["batch_size"].default)
        return int(self.batch_size)

    @property
    def has_epochs(self) -> bool:
        """Return whether the stage trains by gradient descent, epoch by epoch."""
        return self.epochs > 0


class WarmupHead(Training):
    """Head warm-up: the backbone is frozen, the head trains on cached activations."""

    fit: Literal[HeadFit, "auto"] = parameter(
        "gradient",
        "gradient trains the head by its loss; logistic, svm and lda (linear discriminants) fit "
        "one linear layer; auto takes the best of these three in cross-validation.",
        source="Cox 1958; Cortes & Vapnik 1995; Fan et al. 2008; Fisher 1936",
    )
    strength: _Strength | Literal["auto"] = parameter(
        "auto",
        "With fit: logistic or svm the inverse strength of the L2 penalty, on features of unit "
        "variance; with lda the shrinkage of the covariance. auto is chosen on the validation "
        "split, with fit: auto by cross-validation.",
        source="Ledoit & Wolf 2004 (shrinkage)",
    )
    compared_images: Annotated[int, Field(ge=50, le=1_000_000)] = parameter(
        1000,
        "Training and validation images, stratified by class, on which values that are auto are "
        "compared.",
        unit="images",
    )
    compared_inputs: Annotated[int, Field(ge=1, le=100)] = parameter(
        7,
        "Most inputs (framing and image size) that are compared: each takes a forward pass over "
        "the images that are compared.",
        unit="passes",
    )

    @property
    def has_epochs(self) -> bool:
        """Return whether the stage trains by gradient descent, epoch by epoch."""
        return self.fit == "gradient" and super().has_epochs


class Unfreeze(Training):
    """The last ``depth`` blocks, or those in ``blocks``, and the head train jointly."""

    epochs: _Epochs = parameter(7, _EPOCHS, unit="epochs")
    batch_size: _BatchSize = parameter(16, _BATCH, unit="images")
    lr: _Rate = parameter(
        0.0001,
        "Peak learning rate of the head; the blocks' follow from lr_decay. With depth: auto the "
        "recommendation replaces the default.",
    )
    warmup_fraction: Fraction = parameter(
        0.1,
        "Share of the steps over which the learning rate rises from 0.",
        source="Goyal et al. 2017",
    )
    depth: Annotated[int, Field(ge=0, le=1000)] | Literal["auto"] = parameter(
        "auto",
        "Trainable blocks, counted from the head; 0 trains the head only. auto compares short "
        "trainings where the stage warmup_head has compared heads; else it takes the "
        "recommendation of measurements. Both replace defaults alone.",
        unit="blocks",
        source="Yosinski et al. 2014",
    )
    blocks: Annotated[list[Block], Field(max_length=1000)] = parameter(
        [],
        "Trainable blocks (1 to n) instead of depth: surgical fine-tuning.",
        source="Lee et al. 2023",
    )
    compared_images: Annotated[int, Field(ge=50, le=1_000_000)] = parameter(
        5000,
        "Training and validation images, stratified by class, on which the ways to train are "
        "compared with depth: auto, where the stage warmup_head has compared heads.",
        unit="images",
    )
    refit: AutoOnOff = parameter(
        "auto",
        "After all choices, fit a linear head to training and validation images together, or "
        "repeat the training of blocks on them, unless it stopped early; auto does so where the "
        "stage warmup_head has compared heads.",
        source="Hastie, Tibshirani & Friedman 2009, section 7.10",
    )
    keep: Literal["auto", "if_better", "if_clearly_better"] = parameter(
        "auto",
        "Keep a training only if its calibrated validation loss is below that of the head alone, "
        "by a hundredth (if_better), or by one standard error as well (if_clearly_better). auto "
        "is if_better where short trainings were compared, else the best epoch is kept.",
    )
    gradual_epochs: _Epochs = parameter(
        0,
        "Epochs after which one more block becomes trainable, from the head down; 0 trains all at "
        "once.",
        unit="epochs",
        source=_HOWARD,
    )
    lr_decay: _Decay = parameter(1.0, _LR_DECAY, source=_HOWARD)
    batch_norm: Literal[BatchNormPolicy, "auto"] = parameter(
        "auto",
        "train normalises by the batch; frozen keeps the running statistics; fixed keeps gamma and "
        "beta, too; affine folds before training; auto is affine where batches are small or the "
        "data is far from the pretraining data.",
        source="Ioffe & Szegedy 2015; Wu & He 2018 (small batches)",
    )
    interpolate: AutoOrOff = parameter(
        "off",
        "auto tries weights between those of the head warm-up and the trained ones, and takes them "
        "if a paired test says that their validation log-loss is lower. Not where running "
        "statistics move (batch_norm: train).",
        source="Wortsman et al. 2022 (WiSE-FT)",
    )


class FoldBn(Training):
    """BatchNorm becomes a trainable affine map, which is then merged."""

    epochs: _Epochs = parameter(
        0, "Number of epochs that the affine form trains; 0 only folds and merges.", unit="epochs"
    )
    batch_size: _BatchSize = parameter(32, _BATCH, unit="images")
    lr: _Rate = parameter(
        0.0001, "Peak learning rate of the head; the blocks' follow from lr_decay."
    )
    warmup_fraction: Fraction = parameter(
        0.1,
        "Share of the steps over which the learning rate rises from 0.",
        source="Goyal et al. 2017",
    )
    lr_decay: _Decay = parameter(1.0, _LR_DECAY, source=_HOWARD)
    recalibrate: bool = parameter(
        default=False,
        description="Re-estimate the running statistics on the training images, before the fold.",
        source="Li et al. 2017",
    )
    mirror: AutoOrOff = parameter(
        "off",
        "auto averages the logits of each image and of its mirror image, left to right, if a "
        "paired test says that the validation log-loss is lower. It takes twice the time.",
        source="Simonyan & Zisserman 2015",
    )
    tolerance: _Tolerance = parameter(
        0.001,
        "Largest change of a logit that the fold and the merge may cause.",
        unit="share of the scale of the logits",
    )

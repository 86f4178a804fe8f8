"""The sections of ``params.yaml`` that configure training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from thaw.config.section import Count, Fraction, NonNegative, Positive, Section


class Launch(Section):
    """How a stage's processes are started."""

    processes: Count
    threads: Annotated[int, Field(ge=0)]
    workers: Annotated[int, Field(ge=0)]
    mixed_precision: Literal["no", "bf16", "fp16"]
    checkpoint_minutes: Positive
    cache_gb: NonNegative


class Training(Section):
    """What every training phase has."""

    epochs: Annotated[int, Field(ge=0)]
    batch_size: Count
    optimizer: Literal["adamw", "sgd", "lamb"]
    lr: Positive
    schedule: Literal["cosine", "constant"]
    warmup_fraction: Fraction
    weight_decay: NonNegative
    patience: Count


class Regularize(Section):
    """What keeps the weights and the loss in bounds, in every training phase."""

    label_smoothing: Fraction
    clip_norm: Positive
    l1: NonNegative
    l2_sp: NonNegative
    gradient_noise: NonNegative
    ema: Fraction
    class_weights: Literal["none", "balanced"]


class WarmupHead(Training):
    """Head warm-up: the backbone is frozen, the head trains on cached activations."""

    fit: Literal["gradient", "logistic", "svm"]


class Unfreeze(Training):
    """The last ``depth`` blocks, or those in ``blocks``, and the head train jointly."""

    depth: Annotated[int, Field(ge=0)] | Literal["auto"]
    blocks: list[Count]
    gradual_epochs: Annotated[int, Field(ge=0)]
    lr_decay: Annotated[float, Field(gt=0.0, le=1.0)]
    batch_norm: Literal["train", "frozen", "fixed", "affine", "auto"]


class FoldBn(Training):
    """BatchNorm becomes a trainable affine map, which is then merged."""

    lr_decay: Annotated[float, Field(gt=0.0, le=1.0)]
    recalibrate: bool
    tolerance: Positive

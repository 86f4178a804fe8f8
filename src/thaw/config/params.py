"""params.yaml -> typed, frozen sections; strict.

Every key is required and none has a default here, so that ``params.yaml``
alone says what a run does.
This module stays free of heavy imports: the launcher reads it before a stage starts.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thaw.config.explanations import explain
from thaw.errors import ThawError

PARAMS = Path("params.yaml")

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
Text = Annotated[str, StringConstraints(min_length=1)]


class Section(BaseModel):
    """A part of ``params.yaml``: no unknown key, no missing key, no silent cast."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Data(Section):
    """Where the labelled images are."""

    source: Literal["digits", "folder", "csv"]
    path: Text
    root: Text


class Prepare(Section):
    """How images are checked, split and packed."""

    val_fraction: Annotated[float, Field(gt=0.0, lt=0.5)]
    test_fraction: Annotated[float, Field(gt=0.0, lt=0.5)]
    short_side: Annotated[int, Field(ge=8)]
    near_duplicates: Annotated[int, Field(ge=0, le=16)]
    encoding: Literal["raw", "jpeg"]
    max_megapixels: Annotated[float, Field(gt=0.0, le=178.0)]  # Pillow refuses more by itself


class Backbone(Section):
    """The pretrained network and the input it sees."""

    name: Text
    weights: Text
    init: Literal["he", "glorot"]
    gabor: bool
    layerwise_epochs: Annotated[int, Field(ge=0)]
    image_size: Annotated[int, Field(ge=8)]
    crop_pct: Annotated[float, Field(gt=0.0, le=1.0)]


class Head(Section):
    """The small network that is put on the backbone."""

    taps: list[Count]
    hidden: list[Count]
    activation: Literal["relu", "gelu", "silu", "tanh"]
    norm: Literal["none", "batch", "layer"]
    dropout: Fraction


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


class Augment(Section):
    """Random changes of a training image, drawn from (seed, epoch, image id)."""

    crop: Fraction
    flip: Annotated[float, Field(ge=0.0, le=1.0)]
    rotate: Annotated[float, Field(ge=0.0, le=180.0)]
    shift: Fraction
    zoom: Fraction
    brightness: Fraction
    contrast: Fraction
    saturation: Fraction
    hue: Annotated[float, Field(ge=0.0, le=0.5)]
    tint: Fraction
    randaugment: Annotated[int, Field(ge=0)]
    randaugment_magnitude: Annotated[int, Field(ge=0, le=30)]
    noise: NonNegative
    mixup: NonNegative
    cutmix: NonNegative

    @property
    def active(self) -> bool:
        """Whether any image is changed at all."""
        values = self.model_dump(exclude={"randaugment_magnitude"})
        return any(value > 0 for value in values.values())


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


class Evaluate(Section):
    """How the test split is scored."""

    calibration_bins: Annotated[int, Field(ge=2)]
    tta_views: Annotated[int, Field(ge=0)]


Metric = Literal["accuracy", "macro_f1", "log_loss", "ece", "worst_class_recall"]
Measured = Metric | Literal["latency_ms", "size_mb"]


class Provenance(Section):
    """What must be known of how a version was made."""

    committed: bool
    data: bool
    dvc_lock: bool


class Promote(Section):
    """The rules by which a version becomes the champion."""

    floors: dict[Measured, float]
    ceilings: dict[Measured, float]
    better: Metric | Literal["none"]
    not_worse: dict[Metric, Positive]
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)]
    class_margin: Annotated[float, Field(ge=0.0, le=1.0)]
    provenance: Provenance


class Range(Section):
    """Numbers that a search draws from, both ends included."""

    low: float
    high: float
    log: bool


class Search(Section):
    """What `thaw search` tries, and what it looks for."""

    space: dict[str, Range | list[Any]]
    objective: Literal["log_loss", "accuracy", "macro_f1"]
    latency: bool
    pruner: Literal["hyperband", "successive_halving", "none"]
    views: Count
    confirm_seeds: Annotated[int, Field(ge=0)]
    storage: str


class Tracking(Section):
    """Where MLflow keeps runs and models."""

    uri: str
    experiment: Annotated[str, StringConstraints(pattern=r"^[\w .@/-]+$")]
    registered_model: Annotated[str, StringConstraints(pattern=r"^[\w .-]+$")]
    system_metrics_seconds: Positive


class Params(Section):
    """The whole of ``params.yaml``."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    data: Data
    prepare: Prepare
    backbone: Backbone
    head: Head
    augment: Augment
    regularize: Regularize
    launch: Launch
    warmup_head: WarmupHead
    unfreeze: Unfreeze
    fold_bn: FoldBn
    evaluate: Evaluate
    promote: Promote
    search: Search
    tracking: Tracking


# What cannot change a result: where it is logged, how fast it is loaded, how often it is saved.
NO_EFFECT: dict[str, Any] = {
    "promote": True,
    "search": True,
    "tracking": True,
    "launch": {"workers": True, "checkpoint_minutes": True, "cache_gb": True},
}

S = TypeVar("S", bound=Section)


def load(schema: type[S], path: Path = PARAMS) -> S:
    """Read ``path`` into ``schema``, which may name all or some of the top-level sections.

    Raises:
        ThawError: a line for each unknown, missing or mistyped key, with its full path.
    """
    content = _read(path)
    if schema is not Params:
        content = {key: content[key] for key in content if key in schema.model_fields}
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        lines = explain(error, schema)
        raise ThawError("\n".join(f"{path}: {line}" for line in lines)) from None


def result_digest(params: Params) -> str:
    """SHA-256 of every value that can change a pipeline's result."""
    content = params.model_dump(exclude=NO_EFFECT)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def flatten(params: Section) -> dict[str, str]:
    """The values by dotted key, as text: the form in which MLflow keeps parameters."""
    flat: dict[str, str] = {}

    def add(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{prefix}.{key}" if prefix else key, inner)
        else:
            flat[prefix] = str(value)

    add("", params.model_dump())
    return flat


def _read(path: Path) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ThawError(
            f"{path} is not in {Path.cwd()}: run thaw in the project's folder"
        ) from None
    except OSError as error:
        raise ThawError(f"{path} cannot be read: {error.strerror}") from None
    except (YAMLError, ValueError) as error:  # ValueError: !!int many, 2020-13-41, not UTF-8
        raise ThawError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ThawError(f"{path} must hold sections (key: value), but holds {content!r}")
    return content

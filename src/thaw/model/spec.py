"""The schema of ``model.json``, its format number, and the migration of older formats.

The schema belongs to the model and not to ``params.yaml``: a new parameter with a default changes
neither the files of a registered model nor its digests. ``tests/formats/`` keeps model directories
of every format.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from thaw.data.later_fields import without_later_defaults
from thaw.data.preprocessing import Preprocessing
from thaw.model import batchnorm
from thaw.model.calibration import Calibration
from thaw.model.head import HeadSpec
from thaw.model.sealed_files import check_digest, digest_of, read_object
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thaw.model.classifier import Classifier

FORMAT: Literal[5] = 5
_MOST_CLASSES = 200_000
_MOST_BLOCKS = 10_000
# The fields that the digest of the content always covers. A later field counts where it differs
# from its default, so that models that were registered before keep their digest.
_CONTENT_FIELDS = frozenset(
    {"backbone", "head", "classes", "preprocessing", "blocks", "folded", "merged", "calibration"}
    | {"mirrored", "files"}
)
_HEAD_FIELDS = frozenset({"taps", "hidden", "activation", "norm", "dropout"})
_CALIBRATION_FIELDS = frozenset({"scale", "offset"})


# A file by any other name, or in another place, is refused when the spec is read.
FileName = Literal["model.safetensors", "statistics.safetensors"]


class Parent(BaseModel):
    """A model or weights that a model was made from; ``stage`` names the origin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    digest: str


class ModelSpec(BaseModel):
    """The content of ``model.json``: what is needed to rebuild a model besides its weights.

    ``trained`` are the numbers (1 .. ``blocks``) of the blocks that the last phase trained.
    ``folded`` are the names of BatchNorms that became affine maps, ``merged`` the pairs
    (convolution, affine map) that were merged. ``calibration`` maps the logits before softmax; None
    means that none was fitted. With ``mirrored``, the logits are means of those of the image and of
    its mirror image. ``files`` has the SHA-256 of every other file of the
    directory. ``digest`` is the SHA-256 of ``model.json`` itself without this key; it identifies
    the whole model, also in the registry. A spec that was read from an older format keeps the
    digest of its file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[5] = FORMAT
    backbone: str
    head: HeadSpec
    classes: Annotated[list[str], Field(min_length=1, max_length=_MOST_CLASSES)]
    preprocessing: Preprocessing
    blocks: Annotated[int, Field(ge=1, le=_MOST_BLOCKS)]
    trained: list[int] = []
    folded: list[str] = []
    merged: list[tuple[str, str]] = []
    calibration: Calibration | None = None
    mirrored: bool = False
    parents: list[Parent]
    files: dict[FileName, str] = {}
    digest: str = ""

    @field_validator("classes")
    @classmethod
    def _differ(cls, classes: list[str]) -> list[str]:
        if len(set(classes)) != len(classes) or not all(classes):
            raise ValueError("class names must differ and not be empty")
        return classes

    @model_validator(mode="after")
    def _calibrates_its_classes(self) -> ModelSpec:
        if self.calibration and not self.calibration.fits(len(self.classes)):
            raise ValueError("the calibration must have one scale, or one for each class")
        return self

    @property
    def batch_norm(self) -> str:
        """The form of BatchNorm: ``original``, ``affine`` or ``merged``."""
        return "merged" if self.merged else "affine" if self.folded else "original"

    @property
    def lineage(self) -> str:
        """The parents, oldest first, each with the first 12 digits of its digest."""
        return " > ".join(f"{parent.stage} {parent.digest[:12]}" for parent in self.parents)

    @property
    def content_digest(self) -> str:
        """The digest of what the model computes: weights, structure, classes and preprocessing.

        Unlike ``digest``, it does not depend on how the model was made.
        """
        content = self.model_dump(mode="json", exclude={"format", "parents", "trained", "digest"})
        content = without_later_defaults(content, self, _CONTENT_FIELDS)
        content["head"] = without_later_defaults(content["head"], self.head, _HEAD_FIELDS)
        content["files"] = self.files.get("model.safetensors", "")
        if self.calibration:
            calibration = without_later_defaults(
                content["calibration"], self.calibration, _CALIBRATION_FIELDS
            )
            content["calibration"] = None if self.calibration.kind == "none" else calibration
        return digest_of(content)

    def sealed(self, files: Mapping[FileName, str]) -> ModelSpec:
        """Return the spec with the digests of the other files and its own."""
        content = {**self.model_dump(mode="json"), "files": dict(files)}
        return self.model_copy(update={"files": dict(files), "digest": digest_of(content)})

    def after(self, stage: str, classifier: Classifier, trained: Sequence[int]) -> ModelSpec:
        """Return the spec of ``classifier``, which was made from the model that ``stage`` wrote.

        ``trained`` are the numbers (1 .. n) of the blocks that trained. The new model is not
        calibrated yet.
        """
        new = [name for name in batchnorm.affine_names(classifier) if name not in self.folded]
        return self.model_copy(
            update={
                "trained": list(trained),
                "folded": [*self.folded, *new],
                "calibration": None,
                "mirrored": classifier.mirrored,
                "parents": [*self.parents, Parent(stage=stage, digest=self.digest)],
            }
        )


def parse(text: str) -> ModelSpec:
    """Return the spec in ``text``, the content of a ``model.json`` of any known format.

    Raises:
        ChangedError: the content was changed after it was written.
        ValueError: it is not JSON, of an unknown format, or does not follow the schema.
    """
    content = read_object(text)
    known = [*MIGRATIONS, FORMAT]
    if content.get("format") not in known:
        raise ValueError(
            f"its format is {content.get('format')!r}, but this version of thaw reads the formats "
            f"{', '.join(map(str, known))}: a newer format needs a newer version of thaw"
        )
    check_digest(content)
    while content["format"] != FORMAT:
        content = MIGRATIONS[content["format"]](content)
    try:
        return ModelSpec.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[:80]
        raise ValueError(
            f"{quantity(error.error_count(), 'validation error')}: {place}: {first['msg'][:200]}"
        ) from None


def _migrate_2_to_3(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of format 2 as format 3.

    Format 2 stored the section ``head`` of ``params.yaml``; its keys are those of ``HeadSpec``.
    """
    return {**content, "format": 3}


def _migrate_3_to_4(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of format 3 as format 4.

    Format 4 added the range of values of images of more than 8 bits per sample. Before, values
    outside of 16 bits were cut off.
    """
    preprocessing = {**content["preprocessing"], "pixel_range": "clip"}
    return {**content, "format": 4, "preprocessing": preprocessing}


def _migrate_4_to_5(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of format 4 as format 5, which added the calibration."""
    return {**content, "format": 5, "calibration": None}


# Older format -> the function that returns its content in the next format.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    2: _migrate_2_to_3,
    3: _migrate_3_to_4,
    4: _migrate_4_to_5,
}

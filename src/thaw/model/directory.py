"""The model directory: ``model.safetensors`` and ``model.json``; enough to rebuild and run.

The same in every stage and in the registry. Nothing in it is unpickled or imported.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from thaw.config import Head
from thaw.data.transforms import Preprocessing
from thaw.errors import ThawError
from thaw.files import write_whole
from thaw.model import batchnorm, head, zoo
from thaw.model.blocks import Classifier

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = "model.safetensors"
SPEC = "model.json"


class Parent(BaseModel):
    """A model or weights that this one was made from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    digest: str


class Spec(BaseModel):
    """What ``model.json`` holds: all that the weights alone do not say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    backbone: str
    head: Head
    classes: list[str]
    preprocessing: Preprocessing
    depth: int = 0
    folded: list[str] = []
    merged: list[tuple[str, str]] = []
    parents: list[Parent]
    digest: str = ""

    @property
    def batch_norm(self) -> str:
        """``original``, ``affine`` or ``merged``."""
        return "merged" if self.merged else "affine" if self.folded else "original"


def save(classifier: Classifier, spec: Spec, folder: Path) -> Spec:
    """Write the model directory; the spec that is returned has the digest of the weights."""
    # safetensors takes neither channels_last nor tensors on a device
    state = {key: value.cpu().contiguous() for key, value in classifier.state_dict().items()}
    content = save_tensors(state)
    spec = spec.model_copy(update={"digest": hashlib.sha256(content).hexdigest()})
    write_whole(folder / WEIGHTS, content)
    write_whole(folder / SPEC, f"{spec.model_dump_json(indent=2)}\n".encode())
    return spec


def read_spec(folder: Path) -> Spec:
    """Read ``model.json``.

    Raises:
        ThawError: missing, or not of this format.
    """
    path = folder / SPEC
    try:
        return Spec.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ThawError(f"{folder} is no model directory: it has no {SPEC}") from None
    except (ValidationError, UnicodeDecodeError) as error:
        raise ThawError(f"{path} is damaged or of another version: {error}") from None


def load(folder: Path) -> tuple[Classifier, Spec]:
    """Rebuild the model, on the CPU and in evaluation mode, from its directory alone.

    Raises:
        ThawError: a file is missing or damaged, or the two do not belong together.
    """
    spec = read_spec(folder)
    path = folder / WEIGHTS
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ThawError(f"{folder} is no model directory: it has no {WEIGHTS}") from None
    if hashlib.sha256(content).hexdigest() != spec.digest:
        raise ThawError(f"{path} was changed or damaged: its SHA-256 is not the one in {SPEC}")
    try:
        state = load_tensors(content)
    except SafetensorError as error:
        raise ThawError(f"{path} is not a safetensors file: {error}") from None
    try:
        classifier = _skeleton(spec)
        classifier.load_state_dict(state)
    except (ThawError, RuntimeError, AttributeError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ThawError(f"{folder}: {SPEC} does not describe {WEIGHTS}: {reason}") from error
    return classifier.to(memory_format=torch.channels_last).eval(), spec


def _skeleton(spec: Spec) -> Classifier:
    """The module structure with weights yet to be loaded."""
    backbone = zoo.build(spec.backbone)
    top = head.build(spec.head, backbone.features, len(spec.classes))
    classifier = Classifier(backbone.blocks, backbone.pool, top)
    for name in spec.folded:
        module = classifier.get_submodule(name)
        assert isinstance(module, nn.modules.batchnorm._BatchNorm)
        classifier.set_submodule(name, batchnorm.fold(module))
    batchnorm.merge(classifier, spec.merged)
    return classifier

"""The model directory: ``model.safetensors`` and ``model.json``; enough to rebuild and run.

The same in every stage and in the registry. Nothing in it is unpickled or imported. Its files are
an allow-list: ``model.json`` holds the SHA-256 of each, and its own digest, which stands for the
whole model.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from thaw.config.model_sections import Head
from thaw.data.preprocessing import Preprocessing
from thaw.errors import ThawError
from thaw.model import batchnorm, zoo
from thaw.model.assembly import assemble, first_blocks
from thaw.model.drift import Reference
from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thaw.model.classifier import Classifier

WEIGHTS = "model.safetensors"
STATISTICS = "statistics.safetensors"
SPEC = "model.json"


class Parent(BaseModel):
    """A model or weights that this one was made from; ``stage`` says where they came from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    digest: str


class Spec(BaseModel):
    """What ``model.json`` holds: all that the weights alone do not say.

    ``files`` has the SHA-256 of every other file of the directory, ``digest`` that of the spec
    itself (without this field): it stands for the whole model, and the registry keeps it too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[2] = 2
    backbone: str
    head: Head
    classes: list[str]
    preprocessing: Preprocessing
    blocks: int
    trained: list[int] = []
    folded: list[str] = []
    merged: list[tuple[str, str]] = []
    parents: list[Parent]
    # A file by any other name, or in another place, is refused when the spec is read.
    files: dict[Literal["model.safetensors", "statistics.safetensors"], str] = {}
    digest: str = ""

    @property
    def batch_norm(self) -> str:
        """``original``, ``affine`` or ``merged``."""
        return "merged" if self.merged else "affine" if self.folded else "original"

    @property
    def lineage(self) -> str:
        """The line of parents, oldest first, each with the start of its digest."""
        return " > ".join(f"{parent.stage} {parent.digest[:12]}" for parent in self.parents)

    def own_digest(self) -> str:
        """SHA-256 of everything but ``digest``, as JSON with sorted keys."""
        content = self.model_dump(mode="json", exclude={"digest"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def after(self, stage: str, classifier: Classifier, trained: Sequence[int]) -> Spec:
        """The spec of ``classifier``, which was made from the model that ``stage`` wrote.

        ``trained`` are the numbers (1 .. n) of the blocks that trained.
        """
        new = [name for name in batchnorm.affine_names(classifier) if name not in self.folded]
        return self.model_copy(
            update={
                "trained": list(trained),
                "folded": [*self.folded, *new],
                "parents": [*self.parents, Parent(stage=stage, digest=self.digest)],
            }
        )


def save(
    classifier: Classifier, spec: Spec, folder: Path, reference: Reference | None = None
) -> Spec:
    """Write the model directory; the spec that is returned has its digests.

    ``reference``: what passes through the model on its training images.
    """
    # safetensors takes neither channels_last nor tensors on a device
    state = {key: value.cpu().contiguous() for key, value in classifier.state_dict().items()}
    contents = {WEIGHTS: save_tensors(state)}
    if reference:
        contents[STATISTICS] = save_tensors(reference.tensors())
    for name, content in contents.items():
        write_whole(folder / name, content)
    if not reference:  # of a model that was written here before
        (folder / STATISTICS).unlink(missing_ok=True)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    spec = spec.model_copy(update={"files": files})
    spec = spec.model_copy(update={"digest": spec.own_digest()})
    write_whole(folder / SPEC, f"{spec.model_dump_json(indent=2)}\n".encode())
    return spec


def read_spec(folder: Path) -> Spec:
    """Read ``model.json`` and check it against its own digest.

    Raises:
        ThawError: missing, changed, or not of this format.
    """
    path = folder / SPEC
    try:
        spec = Spec.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ThawError(f"{folder} is no model directory: it has no {SPEC}") from None
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ThawError(f"{path} is damaged or of another version: {reason}") from None
    if spec.own_digest() != spec.digest:
        raise ThawError(f"{path} was changed or damaged: its content is not that of its digest")
    return spec


def load(folder: Path) -> tuple[Classifier, Spec]:
    """Rebuild the model, on the CPU and in evaluation mode, from its directory alone.

    Raises:
        ThawError: a file is missing, changed or one too many, or they do not belong together.
    """
    spec = read_spec(folder)
    refuse_others(folder, spec)
    state = _tensors(folder, WEIGHTS, spec)
    try:
        classifier = _skeleton(spec)
        classifier.load_state_dict(state)
    except (ThawError, RuntimeError, AttributeError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ThawError(f"{folder}: {SPEC} does not describe {WEIGHTS}: {reason}") from error
    return classifier.to(memory_format=torch.channels_last).eval(), spec


def load_reference(folder: Path, spec: Spec) -> Reference | None:
    """What passed through the model on its training images; None if that was not kept.

    Raises:
        ThawError: the file is missing or changed.
    """
    if STATISTICS not in spec.files:
        return None
    try:
        return Reference.of(_tensors(folder, STATISTICS, spec))
    except ValueError as error:
        raise ThawError(f"{folder / STATISTICS}: {error}") from None


def refuse_others(folder: Path, spec: Spec) -> None:
    """Refuse a folder that holds anything but the files that ``spec`` has digests of.

    Raises:
        ThawError: names what is there beside them.
    """
    found = {path.name for path in folder.iterdir()}
    others = sorted(found - {SPEC, *spec.files})
    if others:
        raise ThawError(
            f"{folder} holds what does not belong to a model: {', '.join(map(repr, others))}; "
            "nothing was loaded"
        )


def _tensors(folder: Path, name: str, spec: Spec) -> dict[str, torch.Tensor]:
    """The tensors of a file; the bytes that were digested are those that are read."""
    path = folder / name
    if not path.is_file():
        raise ThawError(f"{folder} is no model directory: it has no {name}")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != spec.files.get(name):  # type: ignore[call-overload]
        raise ThawError(f"{path} was changed or damaged: its SHA-256 is not the one in {SPEC}")
    try:
        return load_tensors(content)
    except SafetensorError as error:
        raise ThawError(f"{path} is not a safetensors file: {error}") from None


def _skeleton(spec: Spec) -> Classifier:
    """The module structure with weights yet to be loaded."""
    size = spec.preprocessing.image_size
    backbone = first_blocks(zoo.build(spec.backbone), spec.blocks, size)
    classifier = assemble(backbone, spec.head, len(spec.classes), image_size=size)
    for name in spec.folded:
        module = classifier.get_submodule(name)
        assert isinstance(module, nn.modules.batchnorm._BatchNorm)
        classifier.set_submodule(name, batchnorm.fold(module))
    batchnorm.merge(classifier, spec.merged)
    return classifier

"""Write and read the model directory: ``model.json``, ``model.safetensors`` and statistics.

It is the same in every stage and in the registry. Nothing in it is unpickled or imported. Its files
are an allow-list: ``model.json`` holds the SHA-256 of each, and its own digest, which identifies
the whole model.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from thaw.errors import ThawError
from thaw.model import batchnorm, content_checks
from thaw.model.assembly import assemble, first_blocks
from thaw.model.drift import Reference
from thaw.model.sealed_files import LARGEST_SPEC, SPEC, ChangedError, read_bounded
from thaw.model.size_check import check_size
from thaw.model.spec import ModelSpec, parse
from thaw.model.unallocated import allocate, build_unallocated
from thaw.system.files import write_whole
from thaw.system.storage_errors import reason as reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from thaw.model.classifier import Classifier
    from thaw.model.spec import FileName

WEIGHTS: Literal["model.safetensors"] = "model.safetensors"
STATISTICS: Literal["statistics.safetensors"] = "statistics.safetensors"
# the end of errors about a folder
RESTORE = "; in a project, `thaw repair` restores it"
# What building a model from a hostile spec raises.
_UNFIT = (
    ThawError, RuntimeError, AttributeError, AssertionError, ValueError, TypeError, LookupError,
    ArithmeticError, MemoryError,
)  # fmt: skip
_OF_TORCH = "Error(s) in loading state_dict for Classifier: "  # before the names of tensors
_OF_DVC = ".gitignore"  # DVC writes it beside its outputs
NO_STATISTICS = save_tensors({})  # the content of STATISTICS for a model without statistics


def save(
    classifier: Classifier, spec: ModelSpec, folder: Path, reference: Reference | None = None
) -> ModelSpec:
    """Write the model directory and return the spec with its digests.

    ``reference`` are the channel statistics of the model on its training images.
    """
    # safetensors takes neither channels_last nor tensors on a device
    state = {key: value.cpu().contiguous() for key, value in classifier.state_dict().items()}
    contents: dict[FileName, bytes] = {WEIGHTS: save_tensors(state)}
    if reference:
        contents[STATISTICS] = save_tensors(reference.tensors())
    for name, content in contents.items():
        write_whole(folder / name, content)
    if not reference:  # remove that of an earlier model
        (folder / STATISTICS).unlink(missing_ok=True)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    spec = spec.sealed(files)
    write_whole(folder / SPEC, f"{spec.model_dump_json(indent=2)}\n".encode())
    return spec


def write_no_statistics(folder: Path) -> None:
    """Write a file of statistics without content, which is not part of the model.

    DVC requires every file that a stage lists as an output.
    """
    write_whole(folder / STATISTICS, NO_STATISTICS)


def read_spec(folder: Path) -> ModelSpec:
    """Read ``model.json`` of any known format and check it against its own digest.

    Raises:
        ThawError: it is missing, changed, of an unknown format, or cannot be read.
    """
    path = folder / SPEC
    try:
        return parse(read_bounded(path, LARGEST_SPEC).decode())
    except FileNotFoundError:
        raise ThawError(
            f"{folder} is not a model directory: it has no {SPEC}{_model_inside(folder)}"
        ) from None
    except ChangedError:
        raise ThawError(
            f"{path} was changed or damaged: its content does not match the digest in it{RESTORE}"
        ) from None
    except OSError as error:
        raise ThawError(_unreadable(path, error)) from None
    except ValueError as error:
        reason = " ".join(str(error).split())[:400]
        raise ThawError(
            f"{path} is damaged, or another version of thaw wrote it: {reason}{RESTORE}"
        ) from None


def load(folder: Path, *, allow_others: bool = False) -> tuple[Classifier, ModelSpec]:
    """Rebuild the model, on the CPU and in evaluation mode, from its directory alone.

    With ``allow_others``, other files in ``folder`` are ignored: those of a user in the outputs of
    a stage.

    Raises:
        ThawError: a file is missing, changed, cannot be read or does not belong there, or files do
            not fit.
    """
    spec = read_spec(folder)
    if not allow_others:
        refuse_others(folder, spec, allowed=(_OF_DVC,))
    state = _tensors(folder, WEIGHTS, spec)
    try:
        content_checks.check_finite(state)
        content_checks.check_shapes(spec, state)
        classifier = _skeleton(spec, state)
        content_checks.check_kinds(classifier, state)
        classifier.load_state_dict(state)
    except _UNFIT as error:
        text = " ".join(str(error).split()).removeprefix(_OF_TORCH)
        reason = text[:300] or type(error).__name__
        raise ThawError(
            f"{folder}: {SPEC} does not describe {WEIGHTS}: {reason}{RESTORE}"
        ) from error
    reference = load_reference(folder, spec)
    if reference is not None:
        try:
            content_checks.check_statistics(reference, classifier, spec)
        except _UNFIT as error:
            raise ThawError(f"{folder / STATISTICS}: {error}{RESTORE}") from None
    return classifier.to(memory_format=torch.channels_last).eval(), spec


def load_reference(folder: Path, spec: ModelSpec) -> Reference | None:
    """Return the channel statistics on the training images, or None if there are none.

    Raises:
        ThawError: the file is missing or changed.
    """
    if STATISTICS not in spec.files:
        return None
    try:
        return Reference.of(_tensors(folder, STATISTICS, spec))
    except ValueError as error:
        raise ThawError(f"{folder / STATISTICS}: {error}{RESTORE}") from None


def refuse_others(folder: Path, spec: ModelSpec, allowed: Sequence[str] = ()) -> None:
    """Refuse a folder that holds anything but the files that ``spec`` has digests of.

    Files with the names ``allowed`` are ignored.

    Raises:
        ThawError: there are other files; it names them.
    """
    found = {path.name for path in folder.iterdir()}
    if STATISTICS not in spec.files and _has_no_statistics(folder):
        found.discard(STATISTICS)
    others = sorted(found - {SPEC, *spec.files, *allowed})
    if others:
        raise ThawError(
            f"{folder} has files that do not belong to a model: {', '.join(map(repr, others))}; "
            "nothing was loaded: move them to another folder"
        )


@contextlib.contextmanager
def only_files_of(folder: Path, spec: ModelSpec) -> Iterator[Path]:
    """Yield a temporary folder of the same name with links to the files of the model, no others."""
    with tempfile.TemporaryDirectory() as temporary:
        links = Path(temporary, folder.name)
        links.mkdir()
        for name in (SPEC, *spec.files):
            (links / name).symlink_to((folder / name).resolve())
        yield links


def _model_inside(folder: Path) -> str:
    """Return what to give instead of ``folder``: the first folder in it that is a model, if any."""
    inside = sorted(path.parent for path in folder.glob(f"*/{SPEC}"))
    return f": give {inside[0] if inside else f'the folder that has {SPEC}'}"


def _has_no_statistics(folder: Path) -> bool:
    path = folder / STATISTICS
    size = len(NO_STATISTICS)
    return path.is_file() and path.stat().st_size == size and path.read_bytes() == NO_STATISTICS


def _unreadable(path: Path, error: OSError) -> str:
    """Return the message that the file ``path`` of a model cannot be read, and what helps."""
    if isinstance(error, PermissionError):
        return f"{path} cannot be read: {error.strerror}; give yourself the permission to read it"
    return f"{path} cannot be read: {reason_of(error)}"


def _tensors(folder: Path, name: str, spec: ModelSpec) -> dict[str, torch.Tensor]:
    """Return the tensors of a file, from the very bytes whose digest was checked."""
    path = folder / name
    try:
        content = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise ThawError(_unreadable(path, error)) from None
    if content is None:
        raise ThawError(f"{folder} is not complete: it has no {name}{RESTORE}")
    if hashlib.sha256(content).hexdigest() != spec.files.get(name):  # type: ignore[call-overload]
        raise ThawError(
            f"{path} was changed or damaged: its SHA-256 is not the one in {SPEC}{RESTORE}"
        )
    try:
        content_checks.check_header(content)
        return load_tensors(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ThawError(f"{path} is not a safetensors file: {reason}{RESTORE}") from None


def _skeleton(spec: ModelSpec, state: Mapping[str, torch.Tensor]) -> Classifier:
    """Return the module structure; its weights ``state`` are to be loaded.

    Only the blocks that the model keeps take memory, whatever network it names.
    """
    size = spec.preprocessing.image_size
    backbone = build_unallocated(spec.backbone)
    kept = backbone.blocks[: spec.blocks]
    check_size(kept, state)
    allocate(nn.ModuleList([*kept, backbone.pool]))
    backbone = first_blocks(backbone, spec.blocks, size)
    classifier = assemble(backbone, spec.head, len(spec.classes), image_size=size)
    for name in spec.folded:
        module = classifier.get_submodule(name)
        assert isinstance(module, nn.modules.batchnorm._BatchNorm)
        classifier.set_submodule(name, batchnorm.fold(module))
    batchnorm.merge(classifier, spec.merged)
    classifier.mirrored = spec.mirrored
    return classifier

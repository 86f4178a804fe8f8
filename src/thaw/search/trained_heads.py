"""Files with the heads that the head warm-up has trained, for trials with the same settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from thaw.system import provenance
from thaw.system.checksums import sealed, unsealed
from thaw.system.code_digests import code_digests
from thaw.system.files import write_whole
from thaw.system.project_paths import SEARCH
from thaw.system.tool_lock import library_versions

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from thaw.config.params import Params

FOLDER = SEARCH / "heads"


def head_path(params: Params, data_key: str, backbone_digest: str) -> Path:
    """Return the file of the head that the head warm-up of ``params`` trains.

    ``data_key`` identifies the prepared data and their preprocessing.
    """
    sections = (params.head, params.warmup_head, params.regularize)
    key = provenance.key(
        data_key, params.seed, backbone_digest, *(section.model_dump() for section in sections),
        params.backbone.model_dump(), params.launch.precision, code_digests()["warmup_head"],
        library_versions(),
    )  # fmt: skip
    return FOLDER / f"{key[:40]}.safetensors"


def save_head(path: Path, head: nn.Module) -> None:
    """Write the weights of a trained head.

    Raises:
        ThawError: the disk is full or read-only.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in head.state_dict().items()}
    write_whole(path, sealed(save_tensors(state)))


def load_head(path: Path) -> dict[str, torch.Tensor] | None:
    """Return the state of a saved head; None if the file is missing or damaged."""
    try:
        content = unsealed(path.read_bytes())
        return None if content is None else dict(load_tensors(content))
    except (OSError, SafetensorError):
        return None

"""Refuse a model directory whose files have valid digests, but cannot be a model that serves.

Anyone can write digests that fit. These checks are cheap, and most of them run before memory is
allocated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from thaw.model import head
from thaw.model.drift import FoldedPlaces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from thaw.model.channel_statistics import Channels
    from thaw.model.classifier import Classifier
    from thaw.model.drift import Reference
    from thaw.model.spec import ModelSpec

_LARGEST_HEADER = 4 * 1024**2  # bytes; that of 1,500 tensors has 0.2 MB
_HEAD_WEIGHT = re.compile(r"head\.(\d{1,6})\.weight")
_BLOCK = re.compile(r"blocks\.(\d{1,6})\.")


def check_header(content: bytes) -> None:
    """Raise if the header of a safetensors file is too large to be one of a model.

    Raises:
        ValueError: it is.
    """
    length = int.from_bytes(content[:8], "little")
    if length > _LARGEST_HEADER:
        raise ValueError(f"its header has {length:,} bytes, more than {_LARGEST_HEADER:,}")


def check_shapes(spec: ModelSpec, state: Mapping[str, Tensor]) -> None:
    """Raise if the tensors ``state`` cannot be those of ``spec``.

    The widths of the head and the number of blocks in the spec decide how much memory the model
    takes, so that they are compared before it is built.

    Raises:
        ValueError: a number differs.
    """
    found = {
        int(match[1]): tensor.shape[0]
        for name, tensor in state.items()
        if (match := _HEAD_WEIGHT.fullmatch(name)) and tensor.ndim == 2
    }
    stored = [found[index] for index in sorted(found)]
    if stored != head.widths(spec.head, len(spec.classes)):
        raise ValueError(f"the layers of its head have the widths {_short(stored)}")
    blocks = {int(match[1]) for name in state if (match := _BLOCK.match(name))}
    if max(blocks, default=0) >= spec.blocks:
        raise ValueError(f"it has weights of {max(blocks) + 1} blocks, not {spec.blocks}")


def check_finite(state: Mapping[str, Tensor]) -> None:
    """Raise if a tensor contains NaN or infinity, or a number beyond float32, which it becomes.

    Raises:
        ValueError: it does; the message names it.
    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
            raise ValueError(f"{name[:80]} has values that are not finite")


def check_kinds(classifier: Classifier, state: Mapping[str, Tensor]) -> None:
    """Raise if a tensor holds integers where ``classifier`` has floating-point numbers, or reverse.

    torch would convert them without a message.

    Raises:
        ValueError: it does; the message names it.
    """
    for name, expected in classifier.state_dict().items():
        tensor = state.get(name)
        if tensor is not None and tensor.is_floating_point() != expected.is_floating_point():
            kinds = [str(each.dtype).removeprefix("torch.") for each in (tensor, expected)]
            raise ValueError(f"{name[:80]} has values of type {kinds[0]}, not {kinds[1]}")


def check_statistics(reference: Reference, classifier: Classifier, spec: ModelSpec) -> None:
    """Raise if drift cannot be measured with ``reference``.

    Raises:
        ValueError: a place is missing or unknown, or values have another shape or are not finite.
    """
    places = FoldedPlaces.of(spec.folded, spec.merged)
    names = {*places.convolutions, *places.affine}
    if set(reference.seen) != names:
        different = sorted(set(reference.seen) ^ names)
        raise ValueError(f"its places are not those of the model: {different[0][:80]!r}")
    if not set(reference.expected) <= names:
        raise ValueError("it expects statistics of other places than those of the model")
    for name, mean, std in _values(reference.seen, reference.expected):
        channels = _channels(classifier.get_submodule(name))
        if mean.shape != (channels,) or std.shape != (channels,):
            raise ValueError(f"the statistics of {name} are not those of {channels} channels")
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()):
            raise ValueError(f"the statistics of {name} are not finite")


def _values(*parts: Channels) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for part in parts:
        for name, (mean, std) in part.items():
            yield name, mean, std


def _channels(module: nn.Module) -> int:
    """Return the number of channels of a convolution or of an affine map."""
    if isinstance(module, nn.Conv2d):
        return module.out_channels
    weight = module.get_parameter("weight")
    return int(weight.shape[0])


def _short(numbers: list[int]) -> str:
    more = ", ..." if len(numbers) > 5 else ""
    return f"[{', '.join(map(str, numbers[:5]))}{more}]"

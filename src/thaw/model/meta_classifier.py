"""Build a classifier without weights: shapes and sizes only, on torch's meta device.

It takes a second for any network, and no memory, so that parameters can be tried before the first
stage runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from thaw.errors import ThawError
from thaw.model import zoo
from thaw.model.assembly import assemble

if TYPE_CHECKING:
    from thaw.model.classifier import Classifier
    from thaw.model.head import HeadSpec
    from thaw.model.zoo import Backbone


@dataclass(frozen=True)
class Sizes:
    """Sizes of one image in a block: the sum and the largest of the outputs of its layers.

    Both are numbers of values. Layers that work in place count, too.
    """

    total: int
    largest: int


def meta_backbone(name: str) -> Backbone:
    """Return the backbone ``name`` in blocks on the meta device.

    Raises:
        ThawError: the name is unknown, or the network cannot be cut.
    """
    try:
        return build_without_values(name)
    except Exception:  # the network computes with values while it is built
        backbone = zoo.build(name)
        for part in (*backbone.blocks, backbone.pool):
            part.to("meta")
        return backbone


def build_without_values(name: str) -> Backbone:
    """Return the backbone ``name`` on the meta device. Its weights never get values.

    Raises:
        ThawError: the name is unknown, or the network cannot be cut.
        Exception: the network computes with values while it is built; each raises another one.
    """
    with torch.device("meta"), _WithoutInitialization():
        return zoo.build(name)


def meta_classifier(
    backbone: Backbone, spec: HeadSpec, classes: int, image_size: int
) -> Classifier:
    """Return the classifier of ``backbone``, which is on the meta device.

    Raises:
        ThawError: a tap is beyond the backbone, or the network does not accept the image size.
    """
    try:
        with torch.device("meta"):
            classifier = assemble(backbone, spec, classes, image_size=image_size).eval()
            with torch.no_grad():
                classifier(torch.zeros(1, 3, image_size, image_size))
    except (ThawError, NotImplementedError):
        raise
    except Exception as error:  # each network raises another error for an image size
        raise ThawError(zoo.size_refusal(backbone, image_size, error)) from None
    return classifier


def output_sizes(classifier: Classifier, image_size: int) -> list[Sizes]:
    """Return the sizes of each block of ``classifier``, which is on the meta device."""
    found: list[list[int]] = [[0] for _ in classifier.blocks]

    def watch(place: int, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(_: nn.Module, __: object, output: object) -> None:
            if isinstance(output, torch.Tensor):
                found[place].append(output.numel())

        return module.register_forward_hook(note)

    handles = [
        watch(place, module)
        for place, block in enumerate(classifier.blocks)
        for module in block.modules()
        if not list(module.children())
    ]
    try:
        with torch.no_grad():
            classifier(torch.zeros(1, 3, image_size, image_size, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    return [Sizes(sum(values), max(values)) for values in found]


def count_weights(module: nn.Module) -> int:
    """Return the number of weights of ``module``."""
    return sum(parameter.numel() for parameter in module.parameters())


class _WithoutInitialization(TorchFunctionMode):
    """Leave out what is done in place to tensors without values.

    Initialisations would import torch's reference functions for two seconds.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        is_in_place = name.endswith("_") and not name.endswith("__")
        if is_in_place and args and isinstance(args[0], torch.Tensor) and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))

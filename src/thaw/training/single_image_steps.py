"""Steps of one image, which BatchNorm cannot normalise where its maps have one pixel.

In training mode BatchNorm needs two values per channel. One image gives as many as its map has
pixels, so that a map of one pixel needs a second image in the same process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from thaw.errors import ThawError
from thaw.training.batch_pieces import size_of_pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor, nn

    from thaw.model.classifier import Classifier
    from thaw.training.phase_inputs import PhaseInputs
    from thaw.training.runtime import Runtime


class FewImagesError(ThawError):
    """BatchNorm cannot normalise a step: a process has one image, and its map one pixel."""


def batch_norms(modules: Iterable[nn.Module]) -> list[_BatchNorm]:
    """Return every BatchNorm in ``modules``."""
    return [
        child for module in modules for child in module.modules() if isinstance(child, _BatchNorm)
    ]


def trained_norms(classifier: Classifier) -> list[_BatchNorm]:
    """Return each BatchNorm that normalises by the batch under the plan of ``classifier``.

    Those of the head are left out: they accept a batch of one row.
    """
    plan = classifier.plan
    if plan is None or plan.batch_norm != "train":
        return []
    return batch_norms(classifier.blocks[index] for index in sorted(plan.trainable))


def fewest_images(network: nn.Module, norms: Sequence[_BatchNorm], example: Tensor) -> int:
    """Return the fewest images per process and step with which ``norms`` can normalise: 1 or 2.

    ``example`` (1, ...) is an input of ``network``, which runs once, in evaluation mode.
    """
    values: list[int] = []

    def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values.append(inputs[0].numel() // inputs[0].shape[1])

    handles = [norm.register_forward_pre_hook(count) for norm in norms]
    try:
        with torch.no_grad():
            network.eval()(example)
    finally:
        for handle in handles:
            handle.remove()
    return 2 if 1 in values else 1


def fewest_of_phase(
    runtime: Runtime,
    classifier: Classifier,
    inputs: PhaseInputs,
    batch_size: int,
    parts: int = 1,
) -> int:
    """Return :func:`fewest_images` for a phase with the plan of ``classifier``.

    A step is computed in ``parts`` pieces. The network runs only if one image per process may be
    computed by itself: elsewhere the answer is 1.
    ``classifier`` is in evaluation mode afterwards.

    Raises:
        FewImagesError: even where a small last batch joins the one before it.
    """
    norms = trained_norms(classifier)
    place = np.zeros(1, dtype=np.int64)
    # Pieces of a smaller batch may have half of the size.
    has_small_pieces = parts > 1 and size_of_pieces(batch_size, runtime.world, parts) <= 2
    has_single = has_small_pieces or has_single_images(runtime, len(inputs.train), batch_size)
    if not norms or not has_single:
        return 1
    example = inputs.train.read(place).to(runtime.device)
    example = inputs.train.finish(example, place, epoch=None)
    fewest = fewest_images(classifier.part(inputs.cut).to(runtime.device), norms, example)
    if fewest > 1 and has_single_images(runtime, len(inputs.train), batch_size, fewest):
        raise FewImagesError(f"params.yaml: unfreeze.batch_size: {too_few_images(runtime.world)}")
    return fewest


def too_few_images(world: int) -> str:
    """Return the reason why a step of one image in each of ``world`` processes is refused."""
    return (
        "a step has one image per process, but BatchNorm that normalises by the batch needs two "
        f"where its maps have one pixel: set unfreeze.batch_size to {2 * world} or more (with at "
        "least as many training images), or unfreeze.batch_norm to frozen, fixed or affine"
    )


def has_single_images(runtime: Runtime, images: int, batch_size: int, fewest: int = 1) -> bool:
    """Return whether a step of an epoch has a single image in this process, also as padding.

    ``images`` are those of the split, ``batch_size`` those of a step over all processes. A last
    batch of fewer than ``fewest`` images per process joins the one before it.
    """
    parts = runtime.batch_parts(np.arange(images), batch_size, fewest)
    return any(len(part.indices) == 1 for part in parts)

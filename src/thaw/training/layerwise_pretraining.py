"""Greedy layer-wise unsupervised pretraining: an autoencoder for each block in turn.

The images alone are used, not their labels. Source: Bengio et al. 2007, "Greedy layer-wise
training of deep networks", algorithm 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from thaw.config.regularize_section import Regularize
from thaw.data.random_draws import derived_seed, shuffled
from thaw.errors import ThawError
from thaw.model.initialization import seeded
from thaw.system.console import progress, say
from thaw.training.optimizer_step import OptimizerStep
from thaw.training.out_of_memory import shortage_in_scoring
from thaw.training.single_image_steps import (
    FewImagesError,
    batch_norms,
    fewest_images,
    has_single_images,
)

if TYPE_CHECKING:
    from thaw.data.loading import Source
    from thaw.training.runtime import Runtime

_BATCH = 64
_RATE = 3e-3
_UNREGULARIZED = Regularize(clip_norm=1e6)  # which changes no gradient
_TOO_FEW = (
    "params.yaml: backbone.layerwise_epochs: there is one training image per process, but "
    "BatchNorm needs two where its maps have one pixel: set launch.processes to 1, or this to 0"
)


class Autoencoder(nn.Module):
    """An autoencoder: a block as the encoder, and a decoder from its outputs to its inputs."""

    def __init__(self, block: nn.Module, inputs: torch.Size, outputs: torch.Size) -> None:
        """Take the shapes (C, H, W) of the block's inputs and outputs."""
        super().__init__()
        self.block = block
        (channels, *size), (features, height, width) = inputs, outputs
        self.decoder: nn.Module
        if height == width == 1:  # the transpose of a layer that reads its whole input
            self.decoder = nn.ConvTranspose2d(features, channels, (size[0], size[1]))
        else:
            grow = nn.Upsample(size=(size[0], size[1]), mode="bilinear", align_corners=False)
            self.decoder = nn.Sequential(nn.Conv2d(features, channels, 3, padding=1), grow)

    def forward(self, activations: Tensor) -> Tensor:
        """Return the mean squared reconstruction error (N,) of inputs of the block (N, C, H, W)."""
        error = self.decoder(self.block(activations)).float() - activations.float()
        squared: Tensor = error.square().flatten(1).mean(dim=1)
        return squared


def pretrain(
    runtime: Runtime, backbone_blocks: nn.ModuleList, source: Source, epochs: int, seed: int
) -> list[float]:
    """Train each block for ``epochs`` on the outputs of the blocks before it, in place.

    Return the mean squared reconstruction error of each block over its last epoch, in the squared
    units of its inputs. The blocks are in evaluation mode afterwards.

    Raises:
        ThawError: the outputs of a block are tokens, or maps without channels first.
        MemoryShortageError: a batch does not fit into memory.
        FewImagesError: each process has one image, which BatchNorm cannot normalise.
    """
    backbone_blocks.to(runtime.device).eval()
    shapes = _shapes(runtime, backbone_blocks, source)
    errors = []
    for place, block in enumerate(backbone_blocks):
        with seeded(derived_seed(seed, place)):
            network = Autoencoder(block, *shapes[place : place + 2]).to(runtime.device)
        example = torch.zeros(1, *shapes[place], device=runtime.device)
        fewest = fewest_images(block, batch_norms([block]), example)
        if fewest > 1 and has_single_images(runtime, len(source), _BATCH, fewest):
            raise FewImagesError(_TOO_FEW)
        phase = _Phase(runtime, backbone_blocks[:place], network, source, seed, place, fewest)
        title = f"autoencoder of block {place + 1} of {len(backbone_blocks)}"
        with shortage_in_scoring(title, -(-_BATCH // runtime.world), runtime.device):
            errors.append(phase.train(epochs, title))
        block.eval()
        if runtime.is_main:
            say(f"{title}: mean squared error {errors[-1]:.4f}")
    return errors


@dataclass(frozen=True)
class _Phase:
    runtime: Runtime
    below: nn.ModuleList
    network: Autoencoder
    source: Source
    seed: int
    place: int
    fewest: int  # images per process and step

    def train(self, epochs: int, title: str) -> float:
        """Train the block and return its mean squared error over the last epoch."""
        runtime = self.runtime
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=_RATE, fused=True)
        update = OptimizerStep(runtime, optimizer, _UNREGULARIZED, self.seed, [])
        network = runtime.prepare(self.network)
        network.train()
        total = 0.0
        for epoch in range(1, epochs + 1):
            # its own part of the epochs' numbers, so that no two blocks see the same order
            number = self.place * epochs + epoch
            order = shuffled(len(self.source), self.seed, number)
            parts = runtime.batch_parts(order, _BATCH, self.fewest)
            loaded = runtime.load(self.source, parts, number)
            errors = torch.zeros((), dtype=torch.float64, device=runtime.device)
            for step, batch in enumerate(
                progress(loaded, f"{title}, epoch {epoch}", len(parts), show=runtime.is_main)
            ):
                runtime.seed(derived_seed(self.seed, number, step, runtime.rank))
                with torch.no_grad(), runtime.autocast():
                    activations = batch.inputs
                    for block in self.below:
                        activations = block(activations)
                with runtime.autocast():
                    squared = network(activations.float())
                error = (squared * batch.weights).sum()
                update.backward(error * (runtime.world / batch.total))
                update.take(number, step, step)
                errors += runtime.sum(error.detach().double())
            update.raise_if_not_finite()
            total = float(errors)
        runtime.same_buffers(self.network)
        runtime.accelerator.free_memory()
        return total / len(self.source)


def _shapes(runtime: Runtime, blocks: nn.ModuleList, source: Source) -> list[torch.Size]:
    """Return the shapes (C, H, W) of the images and of the output of each block."""
    (share,) = runtime.batch_parts(np.zeros(1, dtype=np.int64), 1)
    activations = next(iter(runtime.load(source, [share]))).inputs
    shapes = [activations.shape[1:]]
    with torch.no_grad():
        for block in blocks:
            activations = block(activations)
            shapes.append(activations.shape[1:])
            # images are square, and so are maps that have channels first
            if activations.ndim != 4 or activations.shape[2] != activations.shape[3]:
                raise ThawError(
                    "params.yaml: backbone.layerwise_epochs: only convolutional networks can be "
                    "pretrained block by block, not those whose blocks put out tokens: set 0"
                )
    return shapes

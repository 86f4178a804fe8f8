"""Random changes of the images of a batch, each drawn from (seed, epoch, image id) only.

On a CPU, sums over pixels are computed image by image: torch splits a sum over a batch of one image
in another way than a sum over several, so the bits would depend on the batch. On a GPU, that would
be a call for each image, and the sums of a whole batch differ by a rounding.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from thaw.data.device_stream import sent
from thaw.data.random_draws import Stream, named_uniform, seeds_from
from thaw.data.resampling import resample
from thaw.system.deferred_compiler import compiler_deferred

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.config.data_sections import FixedAugment

# New names are appended: an inserted one would change the draws after it.
_DRAWS = (
    "flip",
    "rotate",
    "zoom",
    "shift_x",
    "shift_y",
    "brightness",
    "contrast",
    "crop_area",
    "crop_ratio",
    "crop_x",
    "crop_y",
    "saturation",
    "hue",
    "randaugment",
    "noise",
    "tint_gain_red",
    "tint_gain_green",
    "tint_gain_blue",
    "tint_offset_red",
    "tint_offset_green",
    "tint_offset_blue",
)
_CHANNELS = ("red", "green", "blue")
# Weights of red, green and blue in luminance, and a rotation of the colours about it by 90 degrees.
# Source: W3C Filter Effects Module Level 1, feColorMatrix, saturate and hueRotate.
_LUMINANCE = ((0.213, 0.715, 0.072),) * 3
_QUARTER_TURN = ((-0.213, -0.715, 0.928), (0.143, 0.140, -0.283), (-0.787, 0.715, 0.072))


def augment(
    images: Tensor,
    ids: NDArray[np.int64],
    epoch: int,
    seed: int,
    config: FixedAugment,
    *,
    in_batches: bool = False,
) -> Tensor:
    """Return changed ``images`` (N, 3, S, S), values in 0..1; each image has its own draws.

    With ``in_batches``, whole batches are computed, as is fast on a GPU. Then ``config`` must have
    no change for which :func:`needs_cpu` is true.
    """
    assert not (in_batches and needs_cpu(config))
    draws = named_uniform(seed, epoch, ids, Stream.AUGMENTATION, _DRAWS)
    table = torch.from_numpy(np.stack(list(draws.values())).astype(np.float32))
    columns = dict(zip(draws, sent(table, images.device), strict=True))
    mirrored = columns["flip"] < config.flip
    moves = bool(config.crop or config.rotate or config.zoom or config.shift)
    if moves:
        images = resample(images, columns, config, mirrored if in_batches else None)
    if config.flip and not (moves and in_batches):
        images = torch.where(_per_image(mirrored), images.flip(-1), images)
    if config.randaugment:
        images = _randaugment(images, draws["randaugment"], config)
    if config.brightness or config.contrast:
        images = _change_light(images, columns, config, in_batches=in_batches)
    if config.saturation or config.hue:
        images = _change_colour(images, columns, config)
    if config.tint:
        images = _tint(images, columns, config.tint, in_batches=in_batches)
    if config.noise:
        images = _add_noise(images, draws["noise"], config.noise)
    return images


def needs_cpu(config: FixedAugment) -> bool:
    """Return whether a change draws from a generator that only a CPU has, image by image."""
    return bool(config.randaugment or config.noise)


def _randaugment(images: Tensor, draws: NDArray[np.float64], config: FixedAugment) -> Tensor:
    """Apply ``randaugment`` random operations to each image (Cubuk et al. 2020, by torchvision)."""
    changed = []
    for image, seed in zip(images, seeds_from(draws), strict=True):
        generator = torch.Generator().manual_seed(seed)
        for _ in range(config.randaugment):
            image = _random_operation(image, config.randaugment_magnitude, generator)
        changed.append(image)
    return torch.stack(changed)


def _random_operation(image: Tensor, magnitude: int, generator: torch.Generator) -> Tensor:
    """Return what torchvision's ``RandAugment(1, magnitude)`` returns for an image (3, S, S).

    It draws from ``generator``. torchvision draws from torch's global generator, which several
    threads use at a time.
    """
    # Uncovered pixels get the border's colour: black would be visible on drawings. Interpolation
    # is the default: torchvision's bilinear one leaves dark border lines.
    operations = _rand_augment()(1, magnitude, fill=_border_colour(image))
    space = operations._AUGMENTATION_SPACE
    name = tuple(space)[int(torch.randint(len(space), (), generator=generator))]
    strengths, is_signed = space[name]
    levels = strengths(operations.num_magnitude_bins, *image.shape[-2:])
    strength = 0.0 if levels is None else float(levels[magnitude])
    if levels is not None and is_signed and torch.rand((), generator=generator) <= 0.5:
        strength = -strength
    changed: Tensor = operations._apply_image_or_video_transform(
        image, name, strength, operations.interpolation, operations._fill
    )
    return changed


@functools.cache
def _rand_augment() -> Any:
    with compiler_deferred():
        from torchvision.transforms.v2 import RandAugment  # takes a second to import
    return RandAugment


def _border_colour(image: Tensor) -> list[float]:
    """Return the median colour of the outermost pixels."""
    sides = [image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]]
    colour: list[float] = torch.cat(sides, dim=1).median(dim=1).values.tolist()
    return colour


def _change_light(
    images: Tensor, draws: dict[str, Tensor], config: FixedAugment, *, in_batches: bool
) -> Tensor:
    """Change brightness and contrast."""
    gain = _per_image(1 + (2 * draws["contrast"] - 1) * config.contrast)
    offset = _per_image((2 * draws["brightness"] - 1) * config.brightness)
    if in_batches:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
    else:
        mean = _per_image(torch.stack([image.mean() for image in images]))
    return ((images - mean) * gain + mean + offset).clamp(0, 1)


def _change_colour(images: Tensor, draws: dict[str, Tensor], config: FixedAugment) -> Tensor:
    """Scale and rotate the colours about luminance; luminance and greys stay the same."""
    gain = (1 + (2 * draws["saturation"] - 1) * config.saturation).view(-1, 1, 1)
    angle = ((2 * draws["hue"] - 1) * math.tau * config.hue).view(-1, 1, 1)
    both = sent(torch.tensor((_LUMINANCE, _QUARTER_TURN)), images.device)
    luminance, turn = both[0], both[1]
    colours = torch.eye(3, device=images.device) - luminance
    matrix = luminance + gain * (torch.cos(angle) * colours + torch.sin(angle) * turn)
    # No matrix product: its rounding depends on the shape of the batch.
    red, green, blue = (matrix[:, :, i, None, None] * images[:, i : i + 1] for i in range(3))
    return (red + green + blue).clamp(0, 1)


def _tint(images: Tensor, draws: dict[str, Tensor], tint: float, *, in_batches: bool) -> Tensor:
    """Change contrast and brightness of each colour channel; greys get a colour, too."""
    gain, offset = (
        (2 * torch.stack([draws[f"tint_{what}_{name}"] for name in _CHANNELS], dim=1) - 1) * tint
        for what in ("gain", "offset")
    )
    if in_batches:
        mean = images.mean(dim=(2, 3), keepdim=True)
    else:
        mean = torch.stack([image.mean(dim=(1, 2)) for image in images])[:, :, None, None]
    moved = (images - mean) * (1 + gain[:, :, None, None]) + mean + offset[:, :, None, None]
    return moved.clamp(0, 1)


def _add_noise(images: Tensor, draws: NDArray[np.float64], deviation: float) -> Tensor:
    """Add normal noise of standard deviation ``deviation``."""
    generator = torch.Generator()
    noise = torch.empty(images.shape)
    for image, seed in zip(noise, seeds_from(draws), strict=True):
        image.normal_(0, deviation, generator=generator.manual_seed(seed))
    return (images + noise).clamp(0, 1)


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)

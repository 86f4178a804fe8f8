"""Random changes of one image, each drawn from (seed, epoch, image id) alone.

So it does not matter how images are batched, how many processes train, or whether the run was
killed and resumed. What sums over pixels is done image by image: a sum over a batch of one is cut
up otherwise than over several.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import RandAugment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from thaw.config.data_sections import Augment

# A new draw comes at the end of its stream: one in between would change those after it.
_STREAM = 1
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
_WIDEST = math.log(4 / 3)  # of a crop's aspect ratio, as in Szegedy et al. 2015
# Red, green and blue in luminance, and a quarter turn of colours about it, as web browsers have
# them: W3C Filter Effects Module Level 1, feColorMatrix, saturate and hueRotate.
_LUMINANCE = ((0.213, 0.715, 0.072),) * 3
_QUARTER_TURN = ((-0.213, -0.715, 0.928), (0.143, 0.140, -0.283), (-0.787, 0.715, 0.072))


def augment(
    images: Tensor, ids: NDArray[np.int64], epoch: int, seed: int, config: Augment
) -> Tensor:
    """Change each image (N, 3, S, S), values in 0..1, by its own draw from (seed, epoch, id)."""
    draws = uniform(seed, epoch, ids, _STREAM, len(_DRAWS)).T
    columns = torch.from_numpy(np.ascontiguousarray(draws, dtype=np.float32)).to(images.device)
    at = dict(zip(_DRAWS, columns, strict=True))
    if config.crop or config.rotate or config.zoom or config.shift:
        images = _resample(images, at, config)
    if config.flip:
        mirrored = _per_image(at["flip"] < config.flip)
        images = torch.where(mirrored, images.flip(-1), images)
    if config.randaugment:
        images = _randaugment(images, draws[_DRAWS.index("randaugment")], config)
    if config.brightness or config.contrast:
        images = _light(images, at, config)
    if config.saturation or config.hue:
        images = _colour(images, at, config)
    if config.tint:
        images = _tint(images, at, config.tint)
    if config.noise:
        images = _noise(images, draws[_DRAWS.index("noise")], config.noise)
    return images


def uniform(
    seed: int, epoch: int, ids: NDArray[np.int64], stream: int, count: int
) -> NDArray[np.float64]:
    """Numbers in 0..1 (N, count) that depend on (seed, epoch, id, stream) alone.

    A counter-based generator is a pure function of its key and counter (Salmon et al. 2011).
    """
    rows = np.empty((len(ids), count))
    for row, image_id in zip(rows, ids, strict=True):
        bits = np.random.Philox(key=[seed, epoch], counter=[0, int(image_id), stream, 0])
        np.random.Generator(bits).random(out=row)
    return rows


def _resample(images: Tensor, at: dict[str, Tensor], config: Augment) -> Tensor:
    """Crop, turn, scale and shift at once, so that an image is interpolated once."""
    angle = (2 * at["rotate"] - 1) * math.radians(config.rotate)
    scale = torch.exp((2 * at["zoom"] - 1) * math.log1p(config.zoom))
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    # Rows of the map from output to input positions, both in -1..1.
    across = torch.stack([cosine, -sine, (2 * at["shift_x"] - 1) * 2 * config.shift], dim=1)
    down = torch.stack([sine, cosine, (2 * at["shift_y"] - 1) * 2 * config.shift], dim=1)
    theta = torch.stack([across, down], dim=1)
    if config.crop:
        sides, centre = _window(at, config.crop)
        theta = theta * sides.unsqueeze(2)  # those positions are inside the window ...
        theta[:, :, 2] += centre  # ... which lies here
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _window(at: dict[str, Tensor], crop: float) -> tuple[Tensor, Tensor]:
    """Sides, as shares of the image's, and centre, in -1..1, of a random crop: (N, 2) each.

    The area is uniform in [1 - crop, 1], the aspect ratio log-uniform in [3/4, 4/3] as far as the
    window then fits into the image (Szegedy et al. 2015 draw again until it does).
    """
    area = 1 - crop * at["crop_area"]
    stretch = (2 * at["crop_ratio"] - 1) * (-area.log()).clamp(max=_WIDEST)
    root, half = area.sqrt(), (stretch / 2).exp()
    sides = torch.stack([root * half, root / half], dim=1).clamp(max=1)
    places = torch.stack([at["crop_x"], at["crop_y"]], dim=1)
    return sides, (2 * places - 1) * (1 - sides)


def _randaugment(images: Tensor, draws: NDArray[np.float64], config: Augment) -> Tensor:
    """``randaugment`` random operations in a row (Cubuk et al. 2020, by torchvision).

    It draws from torch's own generator, so each image is done by itself under its own seed.
    """
    changed = []
    with torch.random.fork_rng(devices=[]):
        for image, seed in zip(images, _seeds(draws), strict=True):
            torch.default_generator.manual_seed(seed)
            for _ in range(config.randaugment):
                # What moves in is of the border's colour: black would show on drawings. The default
                # interpolation, since torchvision's bilinear one leaves dark lines at the border.
                operation = RandAugment(1, config.randaugment_magnitude, fill=_border(image))
                image = operation(image)
            changed.append(image)
    return torch.stack(changed)


def _border(image: Tensor) -> list[float]:
    """The median colour of the outermost pixels."""
    sides = [image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]]
    colour: list[float] = torch.cat(sides, dim=1).median(dim=1).values.tolist()
    return colour


def _light(images: Tensor, at: dict[str, Tensor], config: Augment) -> Tensor:
    gain = _per_image(1 + (2 * at["contrast"] - 1) * config.contrast)
    offset = _per_image((2 * at["brightness"] - 1) * config.brightness)
    mean = _per_image(torch.stack([image.mean() for image in images]))
    return ((images - mean) * gain + mean + offset).clamp(0, 1)


def _colour(images: Tensor, at: dict[str, Tensor], config: Augment) -> Tensor:
    """Colours scaled and turned about luminance, which stays, as do greys."""
    gain = (1 + (2 * at["saturation"] - 1) * config.saturation).view(-1, 1, 1)
    angle = ((2 * at["hue"] - 1) * math.tau * config.hue).view(-1, 1, 1)
    luminance = torch.tensor(_LUMINANCE, device=images.device)
    turn = torch.tensor(_QUARTER_TURN, device=images.device)
    colours = torch.eye(3, device=images.device) - luminance
    matrix = luminance + gain * (torch.cos(angle) * colours + torch.sin(angle) * turn)
    # Not by a matrix product: how that rounds depends on the shape of the batch.
    red, green, blue = (matrix[:, :, i, None, None] * images[:, i : i + 1] for i in range(3))
    return (red + green + blue).clamp(0, 1)


def _tint(images: Tensor, at: dict[str, Tensor], tint: float) -> Tensor:
    """Contrast and brightness of each colour channel by itself: greys become colours, too."""
    gain, offset = (
        (2 * torch.stack([at[f"tint_{what}_{name}"] for name in _CHANNELS], dim=1) - 1) * tint
        for what in ("gain", "offset")
    )
    mean = torch.stack([image.mean(dim=(1, 2)) for image in images])[:, :, None, None]
    moved = (images - mean) * (1 + gain[:, :, None, None]) + mean + offset[:, :, None, None]
    return moved.clamp(0, 1)


def _noise(images: Tensor, draws: NDArray[np.float64], deviation: float) -> Tensor:
    generator = torch.Generator(images.device)
    noise = torch.empty(images.shape, device=images.device)
    for image, seed in zip(noise, _seeds(draws), strict=True):
        image.normal_(0, deviation, generator=generator.manual_seed(seed))
    return (images + noise).clamp(0, 1)


def _seeds(draws: NDArray[np.float64]) -> Iterator[int]:
    return (int(draw * 2**53) for draw in draws)  # all of a double's bits


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)

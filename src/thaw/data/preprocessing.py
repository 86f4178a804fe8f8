"""Preprocessing: from decoded pixels to the input of a network.

It is part of a model: it is stored in ``model.json``, and training, evaluation and serving use the
same.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from torch import Tensor

from thaw.config.section import LARGEST_RESIZED
from thaw.data.device_stream import sent
from thaw.data.framing import center, resized_side, resized_size
from thaw.data.later_fields import without_later_defaults
from thaw.data.limits import MOST_ELONGATED, MOST_PIXELS
from thaw.data.pixel_range import PixelRange
from thaw.data.resizing import Interpolation, resize_images, resize_in_float32
from thaw.literals import Framing, JpegPixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from thaw.data.packed_images import PackedImages

# The fields that every version wrote. A new field needs a default, which is not written.
_FIRST_FIELDS = frozenset(
    {"short_side", "max_megapixels", "image_size", "crop_pct", "interpolation", "mean", "std"}
)
_Finite = Annotated[float, Field(ge=-1e6, le=1e6)]
_Spread = Annotated[float, Field(ge=1e-6, le=1e6)]
_LARGEST_SAMPLE = 1e30  # as prepare.range in params.yaml
_MOST_PIXELS_IN_FLOAT32 = 2**25  # that are resized at once on a device: 400 MB


class Preprocessing(BaseModel):
    """Decoding, resize, framing and normalisation of a model's inputs.

    ``short_side``: larger images are downsized to it when decoded (pixels). ``max_megapixels``: a
    larger image is refused. ``pixel_range`` is the range of values that becomes 0..255 in images of
    more than 8 bits per sample, ``jpeg_pixels`` whether large JPEGs are decoded with all pixels.
    ``framing`` is how an image that is not square becomes the square of ``image_size`` pixels;
    ``crop_pct`` is the share of the resized side that the square keeps. ``mean`` and ``std`` are
    those of red, green and blue, for values in 0..1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    short_side: Annotated[int, Field(ge=1, le=65_536)]
    max_megapixels: Annotated[float, Field(gt=0.0, le=1e6, allow_inf_nan=False)]
    pixel_range: PixelRange = "type"
    jpeg_pixels: JpegPixels = "reduced"
    image_size: Annotated[int, Field(ge=1, le=4096)]
    crop_pct: Annotated[float, Field(ge=0.01, le=1.0)]
    framing: Framing = "crop"
    interpolation: Interpolation
    mean: tuple[_Finite, _Finite, _Finite]
    std: tuple[_Spread, _Spread, _Spread]

    @field_validator("pixel_range")
    @classmethod
    def _is_bounded(cls, value: PixelRange) -> PixelRange:
        if not isinstance(value, str):
            low, high = value
            if not -_LARGEST_SAMPLE <= low < high <= _LARGEST_SAMPLE:
                raise ValueError("the two numbers must be finite, the smaller one first")
        return value

    @model_validator(mode="after")
    def _resizes_to_a_bounded_size(self) -> Preprocessing:
        resized = self.image_size / self.crop_pct
        if resized > LARGEST_RESIZED:
            raise ValueError(
                f"images are resized to {resized:,.0f} pixels before the crop, more than "
                f"{LARGEST_RESIZED:,}"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the content without the fields that earlier versions did not have, if default."""
        return without_later_defaults(serialize(self), self, _FIRST_FIELDS)

    def resize(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Resize images (H, W, 3) and make them square, as ``framing`` says.

        The short side (``crop``), the long side (``pad``) or both sides (``squish``) get
        S / crop_pct pixels; the centre is kept. With ``pad``, borders have the colour ``mean``.

        Returns uint8 (N, 3, S, S), channels_last.
        """
        result = torch.empty(
            (len(images), 3, self.image_size, self.image_size),
            dtype=torch.uint8,
            memory_format=torch.channels_last,
        )
        shapes = [image.shape for image in images]
        # Images of one shape are resized in one call.
        for shape in sorted(set(shapes)):
            indices = [index for index, other in enumerate(shapes) if other == shape]
            height, width = self.resized_size(*shape[:2])
            step = max(1, MOST_PIXELS // (height * width))
            for part in (indices[start : start + step] for start in range(0, len(indices), step)):
                stacked = torch.from_numpy(np.stack([images[index] for index in part]))
                result[part] = self._resize_and_crop(stacked.permute(0, 3, 1, 2))
        return result

    def resize_packed(self, packed: PackedImages) -> Tensor:
        """Return what :meth:`resize` returns, computed on the device of ``packed`` in float32.

        The images of one size are resized in one call, as far as the memory for it is bounded.
        """
        parts, places_of_parts = [packed.resized], [packed.resized_places]
        for places, images in packed.stacks():
            height, width = self.resized_size(*images.shape[-2:])
            most = max(height * width, images.shape[-2] * images.shape[-1])
            step = max(1, _MOST_PIXELS_IN_FLOAT32 // most)
            for part in torch.split(images, step):
                resized = resize_in_float32(part, height, width, self.interpolation)
                parts.append(self._center(resized, self.image_size, self.image_size))
            places_of_parts.append(places)
        places = np.concatenate(places_of_parts)
        order = torch.from_numpy(places.argsort())
        # Images are put in order by one read: a write to given places would wait for a GPU, where
        # torch checks the places and sorts them to be deterministic.
        rows = torch.cat(parts).permute(0, 2, 3, 1).contiguous()
        if (places[1:] > places[:-1]).all():
            return rows.permute(0, 3, 1, 2)
        return rows.index_select(0, sent(order, rows.device)).permute(0, 3, 1, 2)

    def resized_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of a resized image before its centre is taken."""
        return resized_size(
            height,
            width,
            side=self.image_size,
            resized=resized_side(self.image_size, self.crop_pct),
            framing=self.framing,
        )

    @property
    def border(self) -> tuple[int, ...]:
        """The colour of borders, 0..255: after the normalisation it is about zero."""
        return tuple(round(255 * value) for value in self.mean)

    def _center(self, images: Tensor, height: int, width: int) -> Tensor:
        return center(images, height, width, self.border)

    def _resize_and_crop(self, images: Tensor) -> Tensor:
        """Resize images of one shape and crop the centre.

        If the resized images would have more than ``MOST_PIXELS``, one axis after the other is
        resized and cropped, in parts. The bits are the same where torch resizes 8-bit images in
        integers. (On a CPU without AVX2 it does not for ``bilinear``; the last bit may differ.)
        """
        height, width = self.resized_size(*images.shape[-2:])
        if height * width <= MOST_PIXELS:
            resized = self._scale(images, height, width)
            return self._center(resized, self.image_size, self.image_size)
        if self.framing == "crop":
            images = _cut_ends(images)
        height, width = self.resized_size(*images.shape[-2:])
        rows = [
            self._center(self._scale(part, part.shape[-2], width), part.shape[-2], self.image_size)
            for part in torch.split(images, max(1, MOST_PIXELS // width), dim=-2)
        ]
        columns = [
            self._center(self._scale(part, height, part.shape[-1]), self.image_size, part.shape[-1])
            for part in torch.split(torch.cat(rows, dim=-2), max(1, MOST_PIXELS // height), dim=-1)
        ]
        return torch.cat(columns, dim=-1)

    def _scale(self, images: Tensor, height: int, width: int) -> Tensor:
        return resize_images(images, height, width, self.interpolation)

    def normalize(self, images: Tensor, *, in_batches: bool = False) -> Tensor:
        """Return images (N, 3, S, S) with values in 0..1, normalised as in pretraining.

        With ``in_batches``, one pass of the memory of a device is enough, and the rounding differs.
        """
        mean, std = self._statistics(images.device)
        if in_batches:
            return torch.addcmul(-mean / std, images, 1 / std)
        return (images - mean).div_(std)

    def denormalize(self, inputs: Tensor) -> Tensor:
        """Return the images, values in 0..1, of normalised ``inputs`` (N, 3, S, S)."""
        mean, std = self._statistics(inputs.device)
        return inputs * std + mean

    def _statistics(self, device: torch.device) -> tuple[Tensor, Tensor]:
        of_device = _statistics if device.type == "cpu" else _statistics_on_gpu
        return of_device(self.mean, self.std, device)


def _statistics(
    mean: Sequence[float], std: Sequence[float], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (1, 3, 1, 1) on ``device``."""
    both = (torch.tensor(values, device=device) for values in (mean, std))
    first, second = (values.view(1, 3, 1, 1) for values in both)
    return first, second


@functools.cache
def _statistics_on_gpu(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return what :func:`_statistics` returns, copied once: each copy waits for the GPU."""
    with torch.inference_mode(mode=False):
        return _statistics(mean, std, device)


def _cut_ends(images: Tensor) -> Tensor:
    """Cut off the ends of elongated images.

    ``decode`` refuses such images, but earlier versions packed them.
    """
    most = MOST_ELONGATED * min(images.shape[-2:])
    for axis in (-2, -1):
        surplus = max(0, images.shape[axis] - most)
        images = images.narrow(axis, surplus // 2, images.shape[axis] - surplus)
    return images

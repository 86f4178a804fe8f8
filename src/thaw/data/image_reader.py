"""Read encoded images as the inputs of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from thaw.data.decoding import decode

if TYPE_CHECKING:
    from torch import Tensor

    from thaw.data.decoding import Decoded
    from thaw.data.preprocessing import Preprocessing

_NEVER_DOWNSIZED = 2**30  # pixels


@dataclass(frozen=True)
class ImageReader:
    """The preprocessing of a model, up to the pixels; it can be sent to another process.

    Images above ``max_megapixels`` are refused.
    """

    preprocessing: Preprocessing
    max_megapixels: float

    def read(self, content: bytes) -> Tensor:
        """Return an encoded image as uint8 (1, 3, S, S).

        Raises:
            DecodeError: it cannot be decoded, or its header says that it is too large.
        """
        decoded = self._decode(content, self.preprocessing.short_side)
        return self.preprocessing.resize([decoded.pixels])

    def read_original(self, content: bytes) -> Tensor:
        """Return an encoded image, upright, in its own size, as uint8 (1, 3, H, W).

        Raises:
            DecodeError: it cannot be decoded, or its header says that it is too large.
        """
        decoded = self._decode(content, _NEVER_DOWNSIZED)
        # A copy: Pillow's own pixels are read-only, about which torch warns.
        return torch.from_numpy(decoded.pixels.copy()).permute(2, 0, 1).unsqueeze(0)

    def _decode(self, content: bytes, short_side: int) -> Decoded:
        return decode(
            content,
            short_side=short_side,
            max_megapixels=self.max_megapixels,
            pixel_range=self.preprocessing.pixel_range,
            jpeg_pixels=self.preprocessing.jpeg_pixels,
        )

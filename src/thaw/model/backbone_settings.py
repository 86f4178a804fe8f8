"""The settings of a backbone that the zoo reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from thaw.literals import Init


class BackboneSettings(Protocol):
    """The settings that the zoo reads; the section ``backbone`` of params.yaml has them."""

    @property
    def name(self) -> str:
        """The name of the network, as ``zoo.names`` lists it."""

    @property
    def weights(self) -> str:
        """The origin of the weights: see ``zoo.load``."""

    @property
    def init(self) -> Init:
        """The distribution of new weights."""

    @property
    def gabor(self) -> bool:
        """True if the first convolution starts as Gabor filters."""

    @property
    def layerwise_epochs(self) -> int:
        """The number of epochs for which each block is pretrained; 0 is none."""

    @property
    def image_size(self) -> int:
        """The side of the input images in pixels."""

"""The settings of a backbone, and the check that none of them overwrites loaded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from thaw.errors import ThawError

if TYPE_CHECKING:
    from thaw.model.initialization import Init


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


def check_scratch_settings(config: BackboneSettings) -> None:
    """Raise if a parameter would overwrite the loaded weights.

    This holds also for weights that the zoo does not load: those of a registered model.

    Raises:
        ThawError: ``gabor`` or ``layerwise_epochs`` would overwrite loaded weights.
    """
    if config.weights == "none":
        return
    for key, given in (("gabor", config.gabor), ("layerwise_epochs", config.layerwise_epochs)):
        if given:
            raise ThawError(
                f"params.yaml: backbone.{key}: it would overwrite the loaded weights "
                f"({config.weights}): set weights: none to train from scratch, or "
                f"{key}: {str(type(given)()).lower()}"
            )

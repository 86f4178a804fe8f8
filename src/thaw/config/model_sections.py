"""The sections ``backbone`` and ``head`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from thaw.config.parameter import parameter
from thaw.config.section import AUTO, Block, Fraction, Section, Text
from thaw.config.text_patterns import NETWORK_NAME
from thaw.errors import ThawError
from thaw.literals import Activation, Framing, HeadNorm, Init

_Name = Annotated[str, StringConstraints(pattern=NETWORK_NAME, max_length=200)]
_Width = Annotated[int, Field(ge=1, le=65536)]
_Side = Annotated[int, Field(ge=8, le=4096)]
UNDECIDED = (
    "the stage warmup_head chooses it; `thaw advise --apply` writes the choice into params.yaml"
)


class Backbone(Section):
    """The pretrained network and the input it sees."""

    name: _Name = parameter(
        "timm/tf_efficientnet_lite0",
        "Network; `thaw backbones` lists those that can be cut into blocks.",
        source="Tan & Le 2019 (EfficientNet-Lite0)",
    )
    weights: Text = parameter(
        "packaged",
        "packaged (EfficientNet-Lite0, no download), pretrained or the name of weights of the "
        "library, a .safetensors or .pth file, models:/NAME@ALIAS (a registered model of thaw), "
        "or none (from scratch).",
    )
    init: Init = parameter(
        "he",
        "Initialisation of the weights; read only with weights: none.",
        source="He et al. 2015; Glorot & Bengio 2010",
    )
    gabor: bool = parameter(
        default=False,
        description="Start the first convolution as Gabor filters; requires weights: none.",
        source="Daugman 1985",
    )
    layerwise_epochs: Annotated[int, Field(ge=0, le=10_000)] = parameter(
        0,
        "Pretrain each block in turn as an autoencoder, without labels; requires weights: none.",
        unit="epochs per block",
        source="Bengio et al. 2007",
    )
    image_size: _Side | Literal["auto"] = parameter(
        224,
        "Side of the square input. auto is chosen by the stage warmup_head, as framing is.",
        unit="pixels",
    )
    crop_pct: Annotated[float, Field(ge=0.1, le=1.0)] = parameter(
        0.875,
        "Share of the resized side that the square in the centre keeps; 1.0 keeps all of it. With "
        "framing: auto it belongs to the candidate crop.",
        source="Krizhevsky et al. 2012 (224 of 256 pixels)",
    )
    framing: Literal[Framing, "auto"] = parameter(
        "crop",
        "How an image that is not square becomes the square input: crop cuts off the ends of the "
        "long side, pad shows all of the image between borders of the mean colour, squish "
        "changes its proportions. auto takes what classifies best in cross-validation.",
    )

    @property
    def is_fixed(self) -> bool:
        """Return whether no value is ``auto``."""
        return AUTO not in {self.image_size, self.framing}

    def fixed(self) -> FixedBackbone:
        """Return the section as one without ``auto``.

        Raises:
            ThawError: a value is ``auto``.
        """
        for key in ("image_size", "framing"):
            if getattr(self, key) == AUTO:
                raise ThawError(f"params.yaml: backbone.{key} is auto: {UNDECIDED}")
        return FixedBackbone.model_validate(self.model_dump())

    def assumed(self) -> FixedBackbone:
        """Return the section with the default in place of each ``auto``."""
        values = self.model_dump()
        for key in ("image_size", "framing"):
            if values[key] == AUTO:
                values[key] = type(self).model_fields[key].default
        return FixedBackbone.model_validate(values)


class FixedBackbone(Backbone):
    """The section ``backbone`` without ``auto``."""

    image_size: _Side
    framing: Framing


class Head(Section):
    """The small network that is put on the backbone."""

    taps: Annotated[list[Block], Field(max_length=1000)] | Literal["auto"] = parameter(
        [],
        "Blocks (1 to n) whose pooled outputs the head reads, concatenated; [] is the last block. "
        "auto takes the blocks that classify best in cross-validation.",
    )
    hidden: Annotated[list[_Width], Field(max_length=32)] = parameter(
        [], "Widths of hidden layers; [] is one linear layer.", unit="neurons"
    )
    activation: Activation = parameter(
        "relu",
        "Activation after each hidden layer.",
        source="Nair & Hinton 2010; Hendrycks & Gimpel 2016; Elfwing et al. 2018",
    )
    norm: HeadNorm = parameter(
        "none",
        "Normalisation before each activation.",
        source="Ioffe & Szegedy 2015; Ba et al. 2016",
    )
    dropout: Fraction = parameter(
        0.0, "Dropout on the inputs of each layer of the head.", source="Srivastava et al. 2014"
    )

    @property
    def fixed_taps(self) -> list[int]:
        """Return ``taps``.

        Raises:
            ThawError: it is ``auto``.
        """
        if self.taps == AUTO:
            raise ThawError(f"params.yaml: head.taps is auto: {UNDECIDED}")
        assert isinstance(self.taps, list)
        return self.taps

"""The base class of the sections of ``params.yaml``, and types that several sections share."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from thaw.config.text_patterns import WITHOUT_ZERO

AUTO: Final = "auto"
LARGEST_RESIZED: Final = 8192  # pixels of a side of an image before the centre crop
AutoOrOff = Literal["auto", "off"]
AutoOnOff = Literal["auto", "on", "off"]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Block = Annotated[int, Field(ge=1, le=1000)]
# A path or an address; a file system takes no NUL in a name.
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=WITHOUT_ZERO)]
OptionalText = Annotated[str, StringConstraints(max_length=1000, pattern=WITHOUT_ZERO)]


class Section(BaseModel):
    """A part of ``params.yaml``: unknown keys, silent casts, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

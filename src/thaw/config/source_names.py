"""Values of ``data.source``: the kinds of sources, and names of public data sets."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

SourceKind = Literal["digits", "folder", "csv", "webdataset"]
PUBLIC_SETS = r"^(torchvision|hf):\S+$"  # names of public data sets


def names_public_set(name: str) -> bool:
    """Return whether ``name`` is that of a public data set."""
    return re.fullmatch(PUBLIC_SETS, name) is not None


def _source(value: Any) -> Any:
    """Return a kind of source, or the name of a public data set.

    Raises:
        PydanticCustomError: ``value`` is something else.
    """
    if isinstance(value, str) and (value in get_args(SourceKind) or names_public_set(value)):
        return value
    kinds = ", ".join(get_args(SourceKind))
    raise PydanticCustomError(
        "source", "Give {kinds}, torchvision:NAME or hf:NAME", {"kinds": kinds}
    )


SourceName = Annotated[
    str,
    PlainValidator(
        _source, json_schema_input_type=SourceKind | Annotated[str, Field(pattern=PUBLIC_SETS)]
    ),
]

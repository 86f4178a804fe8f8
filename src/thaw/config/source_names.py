"""Values of ``data.source``: the kinds of sources, and names of public data sets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

_FileSource = Literal["folder", "csv"]  # in which each image is a file
_OwnSource = Literal[_FileSource, "webdataset"]  # whose images are at data.path
SourceKind = Literal["digits", _OwnSource]
PUBLIC_SETS = r"^(torchvision|hf):\S+$"  # names of public data sets


def names_public_set(name: str) -> bool:
    """Return whether ``name`` is that of a public data set."""
    return re.fullmatch(PUBLIC_SETS, name) is not None


def has_image_files(source: str) -> bool:
    """Return whether each image of the source is a file of its own, which the user made."""
    return source in get_args(_FileSource)


def data_set_name(source: str, path: str) -> str:
    """Return the name of the images: that of the file or folder ``path``, or of the public set."""
    return Path(path).name if source in get_args(_OwnSource) else source


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

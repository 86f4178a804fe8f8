"""Values of parameters by dotted key, such as ``unfreeze.lr``: read them, replace them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from thaw.config.explanations import shortened
from thaw.config.params import Params
from thaw.config.section import AUTO
from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Mapping

# The parameters that are ``auto`` until a comparison on the data has chosen their values.
CHOSEN_KEYS = (
    "backbone.framing", "backbone.image_size", "head.taps", "augment.crop", "augment.flip",
    "warmup_head.fit", "unfreeze.depth",
)  # fmt: skip


def auto_keys(params: Params) -> list[str]:
    """Return those of ``CHOSEN_KEYS`` whose value is ``auto``."""
    return [key for key in CHOSEN_KEYS if value_of(params, key) == AUTO]


def assumed(params: Params) -> Params:
    """Return ``params`` with the default in place of ``auto`` in backbone, head and augment."""
    taps = [] if params.head.taps == AUTO else params.head.taps
    return params.model_copy(
        update={
            "backbone": params.backbone.assumed(),
            "head": params.head.model_copy(update={"taps": taps}),
            "augment": params.augment.assumed(),
        }
    )


def value_of(params: Params, key: str) -> Any:
    """Return the value of the dotted ``key``."""
    value: Any = params
    for part in key.split("."):
        value = getattr(value, part)
    return value


def with_values(params: Params, values: Mapping[str, Any]) -> Params:
    """Return a copy of ``params`` with ``values``, by dotted key.

    Raises:
        ThawError: there is no such key, or it does not take the value.
    """
    content = params.model_dump()
    for key, value in values.items():
        *sections, name = key.split(".")
        section = content
        for part in sections:
            section = section[part]
        section[name] = value
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        held = shortened(problem["input"])
        raise ThawError(f"{problem['msg']}, but it is {held}") from None

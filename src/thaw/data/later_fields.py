"""Fields that a later version added to a stored model: left out where they have their default.

Content that is equal then has one digest, whichever version wrote it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pydantic import BaseModel


def without_later_defaults(
    content: Mapping[str, Any], model: BaseModel, first: Collection[str]
) -> dict[str, Any]:
    """Return ``content``, the values of ``model`` by field, without later fields of no effect.

    A field is later if it is not one of ``first``. It has no effect if its value is the default.
    """
    fields = type(model).model_fields
    return {
        name: value
        for name, value in content.items()
        if name in first or getattr(model, name) != fields[name].default
    }

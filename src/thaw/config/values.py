"""Values of the parameters by dotted key, and the digest of those that change a result."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thaw.config.params import Params
    from thaw.config.section import Section

# What cannot change a result: where it is logged, how fast it is loaded, how often it is saved.
NO_EFFECT: dict[str, Any] = {
    "promote": True,
    "search": True,
    "tracking": True,
    "launch": {"workers": True, "checkpoint_minutes": True, "cache_gb": True},
}


def result_digest(params: Params) -> str:
    """SHA-256 of every value that can change a pipeline's result."""
    content = params.model_dump(exclude=NO_EFFECT)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def flatten(params: Section) -> dict[str, str]:
    """The values by dotted key, as text: the form in which MLflow keeps parameters."""
    flat: dict[str, str] = {}

    def add(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{prefix}.{key}" if prefix else key, inner)
        else:
            flat[prefix] = str(value)

    add("", params.model_dump())
    return flat

"""Values of the last `thaw advise`, for the first trials of `thaw search`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from thaw.advice.stored_measurements import with_input
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.context import open_context
from thaw.registry.starting_model import starting_model
from thaw.system import provenance
from thaw.system.code_digests import code_digests
from thaw.system.files import write_json
from thaw.system.project_paths import ADVICE
from thaw.system.tool_lock import library_versions

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from thaw.context import Context
    from thaw.model.spec import ModelSpec


def store_advice(values: dict[str, Any], context: Context, spec: ModelSpec) -> None:
    """Write the ``values`` that comparisons have chosen for this data and this backbone."""
    write_json(ADVICE, {"key": _key(context, spec), "values": values})


def stored_advice(prepared: Path, device: torch.device | None = None) -> dict[str, Any] | None:
    """Return the stored values by dotted key for the prepared data and its backbone.

    None if there are none, if they are of other data, weights or code, or if the file is damaged.
    Other values of ``params.yaml`` do not count: advice does not depend on what it replaces.
    """
    try:
        content = json.loads(ADVICE.read_text(encoding="utf-8"))
        key, values = content["key"], dict(content["values"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    params = with_input(load(Params))
    context = open_context(params, prepared, single_process=True, device=device)
    _, spec = starting_model(context, all_blocks=True)
    return values if key == _key(context, spec) else None


def _key(context: Context, spec: ModelSpec) -> str:
    """Return a digest of the data, the backbone and the code that the advice is for."""
    return provenance.key(
        context.params.backbone.weights == "none",
        context.data.digest,
        spec.backbone,
        [parent.digest for parent in spec.parents],
        code_digests()["unfreeze"],  # it covers the comparison of heads and of trainings
        library_versions(),
    )

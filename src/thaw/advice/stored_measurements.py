"""Measurements of the last `thaw probe`, `advise` or `search`, which the next one reads again."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from thaw.advice.linear_probes import Probe, SplitTest
from thaw.advice.measurements import Measurements
from thaw.advice.measuring import measure
from thaw.config.loading import load
from thaw.config.parameter_values import assumed, with_values
from thaw.config.params import Params
from thaw.config.section import AUTO
from thaw.context import open_context
from thaw.model.meta_classifier import meta_backbone
from thaw.registry.starting_model import starting_model
from thaw.system import provenance
from thaw.system.code_digests import code_digests
from thaw.system.console import say
from thaw.system.files import write_json
from thaw.system.project_paths import PROBE
from thaw.system.tool_lock import library_versions

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from thaw.context import Context
    from thaw.model.spec import ModelSpec


def measured_project(prepared: Path, device: torch.device | None = None) -> Measurements:
    """Measure the prepared data with the backbone that ``params.yaml`` names, on ``device``.

    In place of ``auto``, image size and framing are those that the stages take where nothing is
    compared: the middle of the image, at the size of the network. Measurements of the same data,
    weights, input, seed, precision, kind of device, libraries and code are read from
    ``.thaw/probe.json``: no other parameter changes them.
    """
    params = with_input(load(Params))
    context = open_context(params, prepared, single_process=True, device=device)
    classifier, spec = starting_model(context, all_blocks=True)
    key = _key(context, spec)
    if stored := _read(key):
        say(f"measurements are read from {PROBE}: data, weights, input and code are the same")
        return stored
    found = measure(context, classifier, spec.preprocessing)
    content = {"key": key, "data": context.data.digest, "backbone": spec.backbone}
    write_json(PROBE, content | {"measurements": asdict(found)})
    return found


def with_input(params: Params) -> Params:
    """Return ``params`` with an input in place of ``auto``: that of the stages without comparison.

    What `thaw advise --apply` writes then is what was measured.
    """
    values: dict[str, Any] = {}
    if params.backbone.image_size == AUTO:
        values["backbone.image_size"] = meta_backbone(params.backbone.name).image_size
    if params.backbone.framing == AUTO:
        values |= {"backbone.framing": "crop", "backbone.crop_pct": 1.0}
    return assumed(with_values(params, values))


def _key(context: Context, spec: ModelSpec) -> str:
    """Return a digest of everything that the measurements depend on.

    Of the parameters these are the seed, which draws images and folds, and what the data, the
    weights and the preprocessing come from. :func:`measure` reads the others nowhere.
    """
    runtime, params = context.runtime, context.params
    return provenance.key(
        params.seed,
        params.backbone.weights == "none",
        spec.backbone,
        context.data.digest,
        [parent.digest for parent in spec.parents],
        spec.preprocessing.model_dump(mode="json"),
        code_digests()["unfreeze"],  # it covers the modules that measure
        runtime.precision.current,
        runtime.device.type,
        library_versions(),
    )


def _read(key: str) -> Measurements | None:
    """Return the stored measurements; None if there are none for ``key``, or if they are damaged.

    A damaged file is measured again and replaced.
    """
    try:
        content = json.loads(PROBE.read_text(encoding="utf-8"))
        return _measurements(content["measurements"]) if content["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _measurements(content: dict[str, Any]) -> Measurements:
    probes = {
        name: [_probe(row) for row in content[name]] for name in ("block_probes", "joint_probes")
    }
    return Measurements(**{**content, **probes, "split_test": SplitTest(*content["split_test"])})


def _probe(row: dict[str, Any]) -> Probe:
    return Probe(**{**row, "blocks": tuple(row["blocks"])})

"""Backbones other than that of ``params.yaml``, in a search or a comparison.

They need other weights, and some values of ``params.yaml`` do not hold for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thaw.config.parameter_values import value_of, with_values
from thaw.config.section import AUTO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thaw.config.params import Params

NAME_KEY, WEIGHTS_KEY = "backbone.name", "backbone.weights"
_PACKAGED, _PRETRAINED, _REGISTERED = "packaged", "pretrained", "models:/"


def searched_names(params: Params) -> list[str]:
    """Return the names of the backbones that the trials use."""
    entry = params.search.space.get(NAME_KEY)
    return [str(name) for name in entry] if isinstance(entry, list) else [params.backbone.name]


def with_weights(params: Params, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of ``values``, those of a trial, with the weights that its backbone needs.

    ``params`` are those that the search starts from. backbone.weights becomes ``pretrained`` where
    the packaged weights do not fit the backbone.
    """
    other = values.get(NAME_KEY, params.backbone.name) != params.backbone.name
    if other and params.backbone.weights == _PACKAGED:
        return {**values, WEIGHTS_KEY: _PRETRAINED}
    return dict(values)


def freed_values(params: Params, name: str) -> dict[str, Any]:
    """Return values for the backbone ``name`` in place of those that hold only for another one.

    Numbers of blocks and the strength of a fit belong to the backbone of ``params`` and its
    features. What means the same for every backbone stays: the last block, no block that trains.
    """
    if name == params.backbone.name:
        return {}
    found: dict[str, Any] = {}
    if params.head.taps not in ([], AUTO):
        found["head.taps"] = AUTO
    if params.warmup_head.strength != AUTO:
        found["warmup_head.strength"] = AUTO
    if params.unfreeze.blocks or params.unfreeze.depth not in (0, AUTO):
        found["unfreeze.depth"] = AUTO
    if params.unfreeze.blocks:
        found["unfreeze.blocks"] = []
    return found


def trial_params(params: Params, values: Mapping[str, Any]) -> Params:
    """Return the parameters of a trial: ``params`` with ``values``, and its weights."""
    return with_values(params, with_weights(params, values))


def weights_problem(params: Params) -> str:
    """Return why the weights of ``params`` do not allow several backbones, "" if they do."""
    weights = str(value_of(params, WEIGHTS_KEY))
    if len(searched_names(params)) == 1 or weights in {_PACKAGED, _PRETRAINED, "none"}:
        return ""
    what = "a registered model" if weights.startswith(_REGISTERED) else "weights of one network"
    return (
        f"search.space.{NAME_KEY}: backbone.weights is {weights}, {what}: set it to pretrained to "
        "search over several backbones"
    )

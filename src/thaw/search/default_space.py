"""The search space of a project that names none, without what the other parameters rule out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thaw.config.params import Params
from thaw.config.search_sections import Range
from thaw.config.section import AUTO
from thaw.errors import ThawError
from thaw.model.meta_classifier import meta_backbone

if TYPE_CHECKING:
    from collections.abc import Iterator

_HIDDEN, _WARMUP_LR = "head.hidden", "warmup_head.lr"
_DEPTH, _LR, _EPOCHS = "unfreeze.depth", "unfreeze.lr", "unfreeze.epochs"


def with_fitting_space(params: Params) -> Params:
    """Return ``params`` with the default of ``search.space`` made to fit them.

    It contains their values, because a search starts there, and no parameter that has no effect. A
    space that differs from the default is the user's, and stays.
    """
    default = Params().search.space
    if params.search.space != default:
        return params
    space = dict(_fitting(params, default))
    search = params.search.model_copy(update={"space": space})
    return params.model_copy(update={"search": search})


def _fitting(params: Params, default: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, entry in default.items():
        if key in {_HIDDEN, _WARMUP_LR}:
            if params.warmup_head.fit == "gradient":  # other fits have one layer and no rate
                value = params.head.hidden if key == _HIDDEN else params.warmup_head.lr
                yield key, entry if value in entry else [*entry, value]
        elif key == _DEPTH:
            if not params.unfreeze.blocks:  # which replace the depth
                yield key, _with_value(_depths(params, entry), params.unfreeze.depth)
        elif key == _LR:
            yield key, _with_value(entry, params.unfreeze.lr)
        else:
            yield key, entry
    if params.unfreeze.epochs == 0:  # nothing else of this section would have an effect
        yield _EPOCHS, [0, Params().unfreeze.epochs]


def _depths(params: Params, entry: Range) -> Range:
    """Return the depths up to the highest block that the head reads."""
    taps = params.head.taps
    highest = max(taps, default=0) if taps != AUTO else 0
    if not highest and params.backbone.name != Params().backbone.name:
        highest = _blocks(params.backbone.name)
    return entry.model_copy(update={"high": min(entry.high, highest or entry.high)})


def _blocks(name: str) -> int:
    """Return the number of blocks; 0 if it is not known without the weights."""
    try:
        return len(meta_backbone(name).blocks)
    except (NotImplementedError, ThawError):
        return 0


def _with_value(entry: Range, value: float | str) -> Range:
    if isinstance(value, str):  # auto, which a search refuses
        return entry
    low, high = min(entry.low, value), max(entry.high, value)
    return (
        entry
        if (low, high) == (entry.low, entry.high)
        else Range(low=low, high=high, log=entry.log)
    )

"""The search space: ``search.space`` of ``params.yaml``, read and checked."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from thaw.config import other_backbones
from thaw.config.parameter_values import CHOSEN_KEYS, auto_keys, value_of, with_values
from thaw.config.params import Params
from thaw.config.result_values import flatten
from thaw.config.search_sections import Range
from thaw.config.section import AUTO
from thaw.errors import ProblemsError, ThawError
from thaw.search.dimension import Dimension

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The sections that a trial uses: it trains a new head and unfreezes blocks of a backbone. Of the
# section of backbones, only the name can be searched.
SECTIONS = ("head", "augment", "regularize", "warmup_head", "unfreeze")


def read(params: Params) -> list[Dimension]:
    """Return the dimensions of ``search.space``.

    Raises:
        ThawError: the space is empty, or an entry names no parameter, has no values, or does not
            fit the parameter's type. All such entries are listed.
    """
    problems: list[str] = []
    dimensions = []
    for key, entry in params.search.space.items():
        try:
            dimensions.append(_dimension(params, key, entry))
        except ThawError as error:
            problems.append(f"search.space.{key}: {error}")
    if not params.search.space:
        problems.append("search.space is empty: name a parameter, such as unfreeze.depth")
    _refuse(problems)
    return dimensions


def check(params: Params, dimensions: list[Dimension], blocks: Mapping[str, int]) -> None:
    """Compare the space with its backbones and with the values of ``params``.

    ``blocks`` has the number of blocks of each backbone by name. Every depth and tap must exist in
    all of them, because any trial may combine them.

    Raises:
        ThawError: a depth or tap is beyond the backbone; the head warm-up cannot fit one of the
            heads; the backbone still has to be pretrained; or the values of ``params``, with which
            the search starts, are not in the space.
    """
    _refuse(list(_auto_values(params)))
    smallest = min(blocks, key=lambda name: blocks[name])
    what = "the backbone" if len(blocks) == 1 else smallest
    problems = [
        *filter(None, [other_backbones.weights_problem(params)]),
        *_taps_beyond_backbone(params, blocks[smallest], what),
        *_depths_beyond_head(params, blocks[smallest], what),
        *_heads_that_cannot_be_fitted(params),
    ]
    if params.backbone.layerwise_epochs:
        problems.append(
            f"backbone.layerwise_epochs is {params.backbone.layerwise_epochs}, but a search does "
            "not pretrain: set it to 0, or train once with it and search from the registered model "
            "(backbone.weights: models:/NAME@ALIAS)"
        )
    problems += _start_outside_space(params, dimensions)
    _refuse(problems)


def _refuse(problems: list[str]) -> None:
    """Raise an error that lists the ``problems``, if there are any."""
    if len(problems) == 1:
        raise ThawError(f"params.yaml: {problems[0]}")
    if problems:
        raise ProblemsError("params.yaml cannot be searched", problems)


def _dimension(params: Params, key: str, entry: Range | list[Any]) -> Dimension:
    section = key.split(".", 1)[0]
    known = [other_backbones.NAME_KEY]
    known += [name for name in flatten(params) if name.split(".")[0] in SECTIONS]
    if key not in known:
        if section in Params.model_fields and section not in SECTIONS:
            raise ThawError(
                f"a search is over {', '.join(SECTIONS)} and {other_backbones.NAME_KEY} only: "
                "remove this key"
            )
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "`thaw params` lists all"
        raise ThawError(f"there is no such parameter; {hint}")
    if isinstance(entry, Range):
        return Dimension(key, _range(params, key, entry))
    return Dimension(key, _choices(params, key, entry))


def _choices(params: Params, key: str, entry: list[Any]) -> CategoricalDistribution:
    if not entry:
        raise ThawError("there are no choices: give a list of two or more values")
    for choice in entry:
        with_values(params, {key: choice})  # raises if the parameter does not take it
    encoded = [json.dumps(choice) if isinstance(choice, list) else choice for choice in entry]
    if len(set(encoded)) < len(encoded):
        raise ThawError("a choice occurs twice: remove one of them")
    return CategoricalDistribution(encoded)


def _range(params: Params, key: str, entry: Range) -> BaseDistribution:
    if entry.low >= entry.high:
        raise ThawError(
            f"the range is empty: low {entry.low:g} is not below high {entry.high:g}: raise high"
        )
    if entry.log and entry.low <= 0:
        raise ThawError(
            f"low is {entry.low:g}: a logarithmic range starts above 0: raise low, or set log to "
            "false"
        )
    takes_fractions = _accepts(params, key, (entry.low + entry.high) / 2 + 1e-9)
    ends: list[float] = [entry.low, entry.high]
    if not takes_fractions:
        ends = [int(end) if end == int(end) else end for end in ends]
    for end in ends:
        with_values(params, {key: end})
    if takes_fractions:
        return FloatDistribution(entry.low, entry.high, log=entry.log)
    return IntDistribution(int(entry.low), int(entry.high), log=entry.log)


def _accepts(params: Params, key: str, value: Any) -> bool:
    try:
        with_values(params, {key: value})
    except ThawError:
        return False
    return True


def _possible_values(params: Params, key: str) -> list[Any]:
    """Return the choices of ``key``; the value in ``params`` if it is not searched by choices."""
    entry = params.search.space.get(key)
    return list(entry) if isinstance(entry, list) else [value_of(params, key)]


def _heads_that_cannot_be_fitted(params: Params) -> Iterator[str]:
    fits = [fit for fit in _possible_values(params, "warmup_head.fit") if fit != "gradient"]
    if fits and any(_possible_values(params, "head.hidden")):
        yield (
            f"search.space: warmup_head.fit: {fits[0]} fits one linear layer, so head.hidden "
            "must be [] in every trial"
        )


def _auto_values(params: Params) -> Iterator[str]:
    """Yield a message for each value that is not known before a comparison on the data."""
    if keys := auto_keys(params):
        yield (
            f"{', '.join(keys)} is auto: a search starts from known values, which `thaw advise "
            "--apply` writes"
        )
    for key in CHOSEN_KEYS:
        if AUTO in _possible_values(params, key) and key in params.search.space:
            yield f"search.space.{key}: auto is no choice of a search"


def _start_outside_space(params: Params, dimensions: list[Dimension]) -> Iterator[str]:
    for dimension in dimensions:
        value = value_of(params, dimension.key)
        if not dimension.contains(value):
            is_list = isinstance(params.search.space[dimension.key], list)
            remedy = "include it"
            if value == AUTO:
                remedy = f"set {dimension.key} to one of them, in params.yaml"
                remedy += ", or add auto to the choices" if is_list else ""
            yield (
                f"search.space.{dimension.key}: params.yaml itself has {value}, not in "
                f"{dimension.text}: the search starts there, so {remedy}"
            )


def _taps_beyond_backbone(params: Params, blocks: int, what: str) -> Iterator[str]:
    for taps in _possible_values(params, "head.taps"):
        if max(taps, default=0) > blocks:
            yield f"search.space.head.taps: {max(taps)} is beyond the {blocks} blocks of {what}"


def _depths_beyond_head(params: Params, blocks: int, what: str) -> Iterator[str]:
    """Yield a message for each key that unfreezes blocks above those that some head reads."""
    taps = _possible_values(params, "head.taps")
    reached = min(max(chosen, default=blocks) for chosen in taps)
    for key in ("unfreeze.depth", "unfreeze.blocks"):
        entry = params.search.space.get(key)
        if entry is None:
            continue
        highest = _highest_block(key, entry)
        if highest > reached:
            limit = "that its head reads from" if reached < blocks else f"of {what}"
            yield f"search.space.{key}: {highest} is beyond the {reached} blocks {limit}"


def _highest_block(key: str, entry: Range | list[Any]) -> int:
    """Return the highest number in ``entry``."""
    if isinstance(entry, Range):
        return int(entry.high)
    is_list_of_lists = key == "unfreeze.blocks"
    numbers = [number for each in entry for number in (each if is_list_of_lists else [each])]
    return int(max(numbers, default=0))

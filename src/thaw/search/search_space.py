"""What is searched: ``search.space`` of ``params.yaml``, held against the parameters themselves."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import ValidationError

from thaw.config.params import Params
from thaw.config.search_sections import Range
from thaw.config.values import flatten
from thaw.errors import ProblemsError, ThawError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What a trial goes through: a warm-up of a new head, and an unfreeze of what is on one backbone.
SECTIONS = ("head", "augment", "regularize", "warmup_head", "unfreeze")


@dataclass(frozen=True)
class Dimension:
    """A parameter and what it may be; Optuna knows a list among choices by its JSON."""

    key: str
    distribution: BaseDistribution

    def encode(self, value: Any) -> Any:
        """``value`` as Optuna keeps it."""
        return json.dumps(value) if isinstance(value, list) else value

    def decode(self, kept: Any) -> Any:
        """What Optuna kept, as ``params.yaml`` has it."""
        return json.loads(kept) if isinstance(kept, str) and kept.startswith("[") else kept

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is one of the choices, or in the range."""
        encoded = self.encode(value)
        if isinstance(self.distribution, CategoricalDistribution):
            return any(
                encoded == c and isinstance(encoded, bool) == isinstance(c, bool)
                for c in self._choices
            )
        return not isinstance(value, str) and self.distribution._contains(float(value))

    def nearest(self, value: Any) -> Any:
        """The end of the range beyond which ``value`` lies; None where nothing is near."""
        if self.holds(value):
            return value
        if isinstance(self.distribution, CategoricalDistribution) or isinstance(value, str):
            return None
        low, high = self._ends
        return low if value < low else high

    @property
    def text(self) -> str:
        """The choices or the range, for people."""
        if isinstance(self.distribution, CategoricalDistribution):
            return f"the choices {', '.join(str(choice) for choice in self._choices)}"
        low, high = self._ends
        return f"{low:g} to {high:g}"

    @property
    def _choices(self) -> tuple[Any, ...]:
        assert isinstance(self.distribution, CategoricalDistribution)
        return tuple(self.distribution.choices)

    @property
    def _ends(self) -> tuple[float, float]:
        assert isinstance(self.distribution, (IntDistribution, FloatDistribution))
        return self.distribution.low, self.distribution.high


def changed(params: Params, values: Mapping[str, Any]) -> Params:
    """``params`` with ``values``, by dotted key.

    Raises:
        ThawError: no such key, or a value that it does not take.
    """
    content = params.model_dump()
    for key, value in values.items():
        *sections, name = key.split(".")
        place = content
        for section in sections:
            place = place[section]
        place[name] = value
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ThawError(f"{problem['msg']}, but it is {problem['input']!r}") from None


def read(params: Params) -> list[Dimension]:
    """The dimensions of ``search.space``.

    Raises:
        ThawError: a line for each that names no parameter, is empty, or does not fit its type.
    """
    problems: list[str] = []
    dimensions = []
    for key, wanted in params.search.space.items():
        try:
            dimensions.append(_dimension(params, key, wanted))
        except ThawError as error:
            problems.append(f"search.space.{key}: {error}")
    if not params.search.space:
        problems.append("search.space is empty: name a parameter, such as unfreeze.depth")
    if problems:
        raise _refused(problems)
    return dimensions


def check(params: Params, dimensions: list[Dimension], blocks: int) -> None:
    """Hold the space against the backbone of ``blocks``, and against what ``params.yaml`` says.

    Raises:
        ThawError: a depth or tap beyond the backbone; a head that the warm-up cannot fit; a
            backbone that is yet to be pretrained; or the parameters as they stand, from which the
            search starts, are not in the space.
    """
    problems = list(_beyond(params, dimensions, blocks))
    possible = _possible(params, dimensions)
    kinds = [kind for kind in possible("warmup_head.fit") if kind != "gradient"]
    if kinds and any(possible("head.hidden")):
        problems.append(
            f"search.space: warmup_head.fit: {kinds[0]} fits one linear layer, so head.hidden "
            "must be [] in every trial"
        )
    if params.backbone.layerwise_epochs:
        problems.append(
            f"backbone.layerwise_epochs is {params.backbone.layerwise_epochs}, but a search does "
            "not pretrain: set it to 0, or train once with it and search from the registered model "
            "(backbone.weights: models:/NAME@ALIAS)"
        )
    if params.unfreeze.depth == "auto":
        problems.append(
            "unfreeze.depth is auto: a search starts from a number, which `thaw advise --apply` "
            "writes"
        )
    else:
        for dimension in dimensions:
            value = value_of(params, dimension.key)
            if not dimension.holds(value):
                problems.append(
                    f"search.space.{dimension.key}: params.yaml itself has {value}, not in "
                    f"{dimension.text}: the search starts there, so include it"
                )
    if problems:
        raise _refused(problems)


def value_of(params: Params, key: str) -> Any:
    """The value of a dotted key."""
    value: Any = params
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _refused(problems: list[str]) -> ThawError:
    if len(problems) == 1:
        return ThawError(f"params.yaml: {problems[0]}")
    return ProblemsError("params.yaml cannot be searched", problems)


def _dimension(params: Params, key: str, wanted: Range | list[Any]) -> Dimension:
    section = key.split(".", 1)[0]
    known = [name for name in flatten(params) if name.split(".")[0] in SECTIONS]
    if key not in known:
        if section in Params.model_fields and section not in SECTIONS:
            raise ThawError(f"a search is over {', '.join(SECTIONS)} only")
        near = difflib.get_close_matches(key, known, n=1)
        raise ThawError(f"there is no such parameter{f'; did you mean {near[0]}?' if near else ''}")
    if isinstance(wanted, Range):
        return Dimension(key, _range(params, key, wanted))
    if not wanted:
        raise ThawError("there are no choices")
    for choice in wanted:
        changed(params, {key: choice})
    encoded = [json.dumps(choice) if isinstance(choice, list) else choice for choice in wanted]
    if len(set(encoded)) < len(encoded):
        raise ThawError("a choice is there twice")
    return Dimension(key, CategoricalDistribution(encoded))


def _range(params: Params, key: str, wanted: Range) -> BaseDistribution:
    if wanted.low >= wanted.high:
        raise ThawError(f"the range is empty: low {wanted.low:g} is not below high {wanted.high:g}")
    if wanted.log and wanted.low <= 0:
        raise ThawError(f"low is {wanted.low:g}: a logarithmic range starts above 0")
    if not _takes(params, key, (wanted.low + wanted.high) / 2 + 1e-9):  # a number with a fraction
        ends = [int(end) if end == int(end) else end for end in (wanted.low, wanted.high)]
        for end in ends:
            changed(params, {key: end})
        return IntDistribution(int(ends[0]), int(ends[1]), log=wanted.log)
    for end in (wanted.low, wanted.high):
        changed(params, {key: end})
    return FloatDistribution(wanted.low, wanted.high, log=wanted.log)


def _takes(params: Params, key: str, value: Any) -> bool:
    try:
        changed(params, {key: value})
    except ThawError:
        return False
    return True


def _possible(params: Params, dimensions: list[Dimension]) -> Any:
    """A function from a key to all values that some trial may have there (choices only)."""
    by_key = {dimension.key: dimension for dimension in dimensions}

    def possible(key: str) -> list[Any]:
        if key in by_key and isinstance(params.search.space[key], list):
            return list(params.search.space[key])
        return [value_of(params, key)]

    return possible


def _beyond(params: Params, dimensions: list[Dimension], blocks: int) -> Iterator[str]:
    taps = _possible(params, dimensions)("head.taps")
    for chosen in taps:
        if max(chosen, default=0) > blocks:
            yield (
                f"search.space.head.taps: {max(chosen)} is beyond the backbone's {blocks} blocks"
            )
    reached = min(max(chosen, default=blocks) for chosen in taps)
    for key in ("unfreeze.depth", "unfreeze.blocks"):
        wanted = params.search.space.get(key)
        if wanted is None:
            continue
        if isinstance(wanted, Range):
            highest = int(wanted.high)
        else:
            numbers = [n for choice in wanted for n in (choice if key[-1] == "s" else [choice])]
            if "auto" in numbers:
                yield f"search.space.{key}: auto is no choice of a search"
                continue
            highest = max(numbers, default=0)
        if highest > reached:
            what = "that its head reads from" if reached < blocks else "of the backbone"
            yield f"search.space.{key}: {highest} is beyond the {reached} blocks {what}"

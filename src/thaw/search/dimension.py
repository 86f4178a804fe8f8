"""One dimension of the search space: a parameter and the values that a trial may give it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

if TYPE_CHECKING:
    from optuna.trial import Trial


@dataclass(frozen=True)
class Dimension:
    """A parameter (dotted key of ``params.yaml``) and its distribution.

    Optuna's choices are plain values: a choice that is a list is stored as its JSON text.
    """

    key: str
    distribution: BaseDistribution

    def encode(self, value: Any) -> Any:
        """Return ``value`` in the form in which Optuna stores it."""
        return json.dumps(value) if isinstance(value, list) else value

    def decode(self, stored: Any) -> Any:
        """Return a value that Optuna stored in the form in which ``params.yaml`` has it."""
        is_list = isinstance(stored, str) and stored.startswith("[")
        return json.loads(stored) if is_list else stored

    def suggest(self, trial: Trial) -> None:
        """Let ``trial`` draw a value, unless it has one already."""
        match self.distribution:
            case CategoricalDistribution(choices=choices):
                trial.suggest_categorical(self.key, choices)
            case IntDistribution(low=low, high=high, log=log):
                trial.suggest_int(self.key, low, high, log=log)
            case FloatDistribution(low=low, high=high, log=log):
                trial.suggest_float(self.key, low, high, log=log)

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is one of the choices, or within the range."""
        encoded = self.encode(value)
        if isinstance(self.distribution, CategoricalDistribution):
            return any(
                encoded == choice and isinstance(encoded, bool) == isinstance(choice, bool)
                for choice in self._choices
            )
        if isinstance(encoded, str):
            return False
        low, high = self._bounds
        is_whole = isinstance(self.distribution, IntDistribution)
        return low <= value <= high and not (is_whole and value != int(value))

    def nearest(self, value: Any) -> Any:
        """Return ``value``, or the end of the range next to it; None if no choice equals it."""
        if self.contains(value):
            return value
        if isinstance(self.distribution, CategoricalDistribution) or isinstance(value, str):
            return None
        low, high = self._bounds
        return low if value < low else high

    @property
    def text(self) -> str:
        """The choices or the range, as messages show them."""
        if isinstance(self.distribution, CategoricalDistribution):
            return f"the choices {', '.join(str(choice) for choice in self._choices)}"
        low, high = self._bounds
        return f"{low:g} to {high:g}"

    @property
    def _choices(self) -> tuple[Any, ...]:
        assert isinstance(self.distribution, CategoricalDistribution)
        return tuple(self.distribution.choices)

    @property
    def _bounds(self) -> tuple[float, float]:
        assert isinstance(self.distribution, (IntDistribution, FloatDistribution))
        return self.distribution.low, self.distribution.high

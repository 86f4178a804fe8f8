"""The definition of a study: what is searched, from which parameters, on which data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.study import StudyDirection

from thaw.config import other_backbones
from thaw.metrics.registry import METRICS
from thaw.search import attempt, search_space
from thaw.search.default_space import with_fitting_space
from thaw.search.study_identity import identifying_values
from thaw.system import provenance

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from thaw.config.params import Params
    from thaw.search.dimension import Dimension


@dataclass(frozen=True)
class StudyDefinition:
    """The parameters outside of the space, the space, the objectives, the data.

    ``data_digest`` is the digest of the prepared data. ``parent`` is the URI of the registered
    version that ``backbone.weights`` resolves to, "" if it is no registered model.
    """

    params: Params
    dimensions: list[Dimension]
    data_digest: str
    parent: str

    @classmethod
    def from_params(cls, params: Params, data_digest: str, parent: str) -> StudyDefinition:
        """Return the definition that ``params`` give.

        Raises:
            ThawError: ``search.space`` is not valid.
        """
        params = with_fitting_space(params)
        return cls(params, search_space.read(params), data_digest, parent)

    @property
    def key(self) -> str:
        """A digest; trials are comparable if their studies have the same key."""
        fixed = identifying_values(self.params, (dimension.key for dimension in self.dimensions))
        search = self.params.search
        if self.parent:  # an alias may point to another version later
            fixed["backbone"]["weights"] = self.parent
        if self._has_augmented_trials:
            fixed["views"] = search.views
        space = {dimension.key: repr(dimension.distribution) for dimension in self.dimensions}
        precision: str = self.params.launch.precision
        if precision == "auto":
            precision = "no"  # its name in studies of earlier versions
        return provenance.key(
            fixed, space, search.objective, search.latency, precision, self.data_digest
        )

    @property
    def _has_augmented_trials(self) -> bool:
        """True if a trial may train on augmented images, so that ``search.views`` has an effect."""
        is_searched = any(dimension.key.startswith("augment.") for dimension in self.dimensions)
        return is_searched or self.params.augment.fixed().active

    @property
    def name(self) -> str:
        """The name of the study if the user gives none."""
        return f"{self.params.tracking.experiment}-{self.key[:8]}"

    @property
    def directions(self) -> list[StudyDirection]:
        """The direction of each objective, in the order of :attr:`metrics`."""
        low, high = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE
        first = high if METRICS[self.params.search.objective].higher_is_better else low
        return [first, low] if self.params.search.latency else [first]

    @property
    def metrics(self) -> list[str]:
        """The names of the objectives."""
        objective = self.params.search.objective
        return [objective, "latency_ms"] if self.params.search.latency else [objective]

    def complete_values(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return the values of a trial by dotted key, those that its backbone needs included."""
        return other_backbones.with_weights(self.params, attempt.values_of(trial, self.dimensions))

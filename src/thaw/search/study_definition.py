"""What a study asks: the best values of a space, for these other parameters and this data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.study import StudyDirection

from thaw.metrics.registry import METRICS
from thaw.search.search_space import Dimension, read
from thaw.system import provenance

if TYPE_CHECKING:
    from thaw.config.params import Params

# What a trial's result depends on beside its values; threads may differ from machine to machine.
_BASE = {"seed", "data", "prepare", "backbone", "head", "augment", "regularize", "warmup_head",
         "unfreeze"}  # fmt: skip


@dataclass(frozen=True)
class Question:
    """What is asked: the parameters beside the space, the space, the objectives, the data.

    ``parent`` is the registered version that ``backbone.weights`` stood for, "" where it is none.
    """

    params: Params
    dimensions: list[Dimension]
    data: str
    parent: str

    @classmethod
    def of(cls, params: Params, data_digest: str, parent: str) -> Question:
        """The question that ``params.yaml`` asks of this data."""
        return cls(params, read(params), data_digest, parent)

    @property
    def key(self) -> str:
        """Trials of equal keys can be compared."""
        base = self.params.model_dump(include=_BASE)
        for dimension in self.dimensions:
            *sections, name = dimension.key.split(".")
            place = base
            for section in sections:
                place = place[section]
            del place[name]
        search = self.params.search
        if self.parent:  # an alias that moves is another backbone
            base["backbone"]["weights"] = self.parent
        if self._is_augmented:
            base["views"] = search.views
        space = {dimension.key: repr(dimension.distribution) for dimension in self.dimensions}
        precision = self.params.launch.mixed_precision
        return provenance.key(base, space, search.objective, search.latency, precision, self.data)

    @property
    def _is_augmented(self) -> bool:
        """Whether some trial sees augmented images: which ones, depends on ``search.views``."""
        searched = any(dimension.key.startswith("augment.") for dimension in self.dimensions)
        return searched or self.params.augment.active

    @property
    def name(self) -> str:
        """The study's own name, where the user gives none."""
        return f"{self.params.tracking.experiment}-{self.key[:8]}"

    @property
    def directions(self) -> list[StudyDirection]:
        """Of the objectives."""
        low, high = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE
        first = high if METRICS[self.params.search.objective].higher_is_better else low
        return [first, low] if self.params.search.latency else [first]

    @property
    def metrics(self) -> list[str]:
        """The names of the objectives."""
        names = [self.params.search.objective]
        return [*names, "latency_ms"] if self.params.search.latency else list(names)

"""The project as a verb opens it: parameters, data, and the model that a phase starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.config.loading import load
from thaw.config.params import Params
from thaw.data.prepared import Prepared
from thaw.model import directory
from thaw.registry.starting_model import begin, parent_of
from thaw.training.activation_cache import FOLDER, cache_of
from thaw.training.runtime import start

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.model.classifier import Classifier
    from thaw.model.directory import Spec
    from thaw.training.activation_cache import Cache
    from thaw.training.runtime import Runtime


@dataclass(frozen=True)
class Opened:
    """The project's parameters and data, and a model."""

    params: Params
    runtime: Runtime
    data: Prepared
    classifier: Classifier
    spec: Spec

    @property
    def cache(self) -> Cache:
        """Where the activations of this data are kept."""
        gigabytes = self.params.launch.cache_gb
        return cache_of(FOLDER, self.data, self.spec.preprocessing, gigabytes)


def open_start(prepared: Path, *, taps: bool) -> Opened:
    """With the model that the warm-up starts from; without ``taps``, its head on the last block.

    Raises:
        ThawError: there is no prepared data, or no such backbone.
    """
    params = load(Params)
    data = Prepared(prepared)
    head = params.head if taps else params.head.model_copy(update={"taps": []})
    classifier, spec = begin(params, head, data, parent_of(params))
    return Opened(params, _alone(params), data, classifier, spec)


def open_model(prepared: Path, folder: Path) -> Opened:
    """With the model in ``folder``, as a stage wrote it.

    Raises:
        ThawError: there is no prepared data, or no model.
    """
    params = load(Params)
    classifier, spec = directory.load(folder)
    return Opened(params, _alone(params), Prepared(prepared), classifier, spec)


def _alone(params: Params) -> Runtime:
    """One process, as the verb was started."""
    return start(params.launch.model_copy(update={"processes": 1}))

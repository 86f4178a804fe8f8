"""Data, backbones and caches shared by all trials of one worker."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from thaw.context import open_context
from thaw.registry.starting_model import parent_of
from thaw.search import trained_heads
from thaw.search.loaded_backbones import LoadedBackbones
from thaw.search.shared_inputs import SharedInputs

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.params import Params
    from thaw.context import Context, Phase
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier
    from thaw.search.shared_heads import SharedHeads
    from thaw.training.phase_inputs import PhaseInputs


@dataclass
class TrialContext:
    """The shared state of the trials of one worker; see :meth:`context_of`.

    ``project`` is the context of the parameters with which the search starts. ``shared_heads`` is
    set in the main process of a worker whose study keeps heads on a shared store.
    """

    project: Context
    backbones: LoadedBackbones
    shared_inputs: SharedInputs = field(default_factory=SharedInputs)
    shared_heads: SharedHeads | None = None

    def preprocessing(self, params: Params) -> Preprocessing:
        """Return the preprocessing of the backbone of ``params``."""
        return self.backbones.original(params)[1].preprocessing

    def context_of(self, params: Params) -> Context:
        """Return the context of a trial with ``params``."""
        return replace(self.project, params=params, open_inputs=self.open_inputs)

    def open_inputs(self, context: Context, classifier: Classifier, phase: Phase) -> PhaseInputs:
        """Return the inputs of ``phase``, shared with other trials."""
        return self.shared_inputs.open(context, classifier, phase)

    def head_path(self, params: Params) -> Path:
        """Return the file of the head that the warm-up of ``params`` trains."""
        _, spec = self.backbones.original(params)
        data_key = self.project.cache(spec.preprocessing).data
        return trained_heads.head_path(params, data_key, spec.parents[-1].digest)


def open_trial_context(params: Params, prepared: Path) -> TrialContext:
    """Open the project for the trials of this worker, in all of its processes.

    Raises:
        ThawError: there is no prepared data or no such backbone.
    """
    params = params.model_copy(update={"launch": params.launch.of_worker()})
    project = open_context(params, prepared)
    return TrialContext(project, LoadedBackbones(project.data, parent_of(params)))

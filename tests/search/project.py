"""A small project that can be searched in seconds: LeNet-5 on images of three colours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import settings, tiny
from tests.project import ROOT
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.data.prepared import Prepared
from thaw.ingest.folder_source import list_folder
from thaw.search import attempt, storage, study, trial_context, trial_queue
from thaw.search.study_definition import StudyDefinition
from thaw.search.trial import Result
from thaw.stages import prepare

if TYPE_CHECKING:
    import optuna
    from optuna.trial import Trial

    from thaw.search.storage import HeartbeatStorage
    from thaw.search.trial_context import TrialContext

PREPARED = Path("data/prepared")
SMALL: dict[str, Any] = {
    "data.source": "folder",
    "backbone.name": "lenet5",
    "backbone.weights": "none",
    "backbone.image_size": 32,
    "launch.threads": 1,
    "warmup_head.epochs": 3,
    "unfreeze.depth": 2,
    "unfreeze.epochs": 3,
    "search.confirm_seeds": 2,
}
SPACE = {
    "head.hidden": [[], [8]],
    "unfreeze.depth": {"low": 0, "high": 2, "log": False},
    "unfreeze.lr": {"low": 0.0001, "high": 0.01, "log": True},
}


def make(folder: Path, **changes: Any) -> Params:
    """Write ``params.yaml`` and the prepared data into ``folder``, the current folder.

    ``changes`` are values of the section ``search``.
    """
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    settings_of_search = {"space": SPACE, **changes}
    write_values({**SMALL, **{f"search.{key}": value for key, value in settings_of_search.items()}})
    root = tiny.images(folder / "data" / "raw", each=16)
    settled = settings.prepare(val_fraction=0.25, test_fraction=0.1, short_side=16)
    params = load(Params).model_copy(update={"seed": 0, "prepare": settled})
    PREPARED.mkdir(parents=True)
    prepare.run(params, list_folder(root), PREPARED)
    return load(Params)


def opened(params: Params) -> TrialContext:
    return trial_context.open_trial_context(params, PREPARED)


def definition_of(params: Params) -> StudyDefinition:
    return StudyDefinition.from_params(params, Prepared(PREPARED).manifest.digest, "")


class Search:
    """The study of ``params`` and its storage, with trials that train nothing."""

    def __init__(self, params: Params, name: str = "") -> None:
        self.definition = definition_of(params)
        self.storage: HeartbeatStorage = storage.connect(params.search.storage)
        self.study: optuna.Study = study.open_study(self.definition, self.storage, name)

    def run(self, trials: int, objective: trial_queue.Objective | None = None) -> int | None:
        """Run the next trial, by default one that completes."""
        return trial_queue.run_next(
            self.study, self.storage, trials, objective or self.complete_trial
        )

    def run_all(self, trials: int) -> None:
        while self.run(trials) is not None:
            pass

    def draw(self, trial: Trial) -> dict[str, Any]:
        for dimension in self.definition.dimensions:
            dimension.suggest(trial)
        return attempt.values_of(trial, self.definition.dimensions)

    def complete_trial(self, trial: Trial) -> list[float]:
        self.draw(trial)
        return store_result(trial, self.definition, loss=0.5 + 0.1 * trial.number)

    def kill_worker_in_next_trial(self, trials: int) -> None:
        """Start a trial and leave it as a killed worker does: running, without heartbeats."""
        try:
            self.run(trials, self._killed)
        except SystemExit:
            return
        raise AssertionError("there was no trial")

    def _killed(self, trial: Trial) -> list[float]:
        self.draw(trial)
        raise SystemExit

    def make_stale(self) -> None:
        """Let all trials that run count as stale when the next trial is taken."""
        self.storage.grace_period = -1

    def states(self) -> list[str]:
        return [trial.state.name for trial in self.study.get_trials(deepcopy=False)]


def store_result(trial: Trial, definition: StudyDefinition, loss: float) -> list[float]:
    """Store a result with this validation loss; return the values of the objectives."""
    result = Result({"log_loss": loss, "accuracy": 1 - loss}, None, 1, [], 0.1)
    trial.set_user_attr(attempt.RESULT, json.dumps(vars(result)))
    return [result.objective(name) for name in definition.metrics]

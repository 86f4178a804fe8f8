"""Registrations of small models through servers, and which of them are not whole."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tests.project import ROOT
from tests.registry.killed_registration import evaluate
from tests.registry.served import model_directory
from thaw.errors import ThawError
from thaw.registry.fetch import Version, fetch

_EXPERIMENT = "thaw"  # of the parameters in this repository


class Registrations:
    """Registrations of ``name`` from a project in ``folder``, by the stage's own code.

    The variables of this process name the servers.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Make the project."""
        self._folder = folder
        self._name = name
        folder.mkdir(parents=True)
        shutil.copy(ROOT / "params.yaml", folder)
        (folder / "reports").mkdir()
        (folder / "reports" / "metrics.json").write_text("{}")

    def register(self, number: int) -> bool:
        """Register model ``number``; return whether that succeeded."""
        model = self._folder / f"model{number}"
        if not model.exists():
            model_directory(model, seed=number)
        with contextlib.chdir(self._folder):
            try:
                evaluate(str(model), f"{self._name}-{number}", self._name)
            except (MlflowException, ThawError):
                return False
        return True

    def count(self) -> int:
        """Return the number of versions in the registry."""
        return len(MlflowClient().search_model_versions(f"name = '{self._name}'"))

    def incomplete(self) -> list[str]:
        """Return what is wrong: versions whose files are not whole, models that are pending."""
        client = MlflowClient()
        wrong = []
        for number in range(1, self.count() + 1):
            with TemporaryDirectory() as folder:
                try:
                    fetch(Version(self._name, number), Path(folder))
                except ThawError as error:
                    wrong.append(str(error))
        experiment = client.get_experiment_by_name(_EXPERIMENT)
        assert experiment is not None
        models = client.search_logged_models([experiment.experiment_id])
        return wrong + [
            f"model {model.model_id} is {model.status}"
            for model in models
            if model.status != LoggedModelStatus.READY
        ]

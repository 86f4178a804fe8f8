"""The public Python API, importable as ``thaw.load_model`` and ``thaw.Project``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.data.prepared import Prepared
from thaw.data.split_names import SPLITS
from thaw.errors import ThawError
from thaw.evaluation.last_result import read_last_result
from thaw.registry.names import CHAMPION, PREFIX
from thaw.serving import loaded_model
from thaw.system.commands import run_module
from thaw.system.devices import AUTO
from thaw.system.project_paths import PARAMS_FILE, PREPARED, REPORTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from thaw.config.result_sections import Tracking
    from thaw.data.split_names import SplitName
    from thaw.evaluation.last_result import Result
    from thaw.serving.loaded_model import LoadedModel

_CLI = "thaw.cli"
_PROMOTED, _REFUSED = 0, 1  # exit codes of `thaw promote`


def load_model(model: str | Path, device: str = AUTO) -> LoadedModel:
    """Load a registered model, or a model directory.

    The files are verified against their digests before they are loaded. Nothing is unpickled.

    Args:
        model: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, or a folder such as
            ``models/fold_bn/merged``. The registry is the one of ``params.yaml`` in the working
            directory, else the one that ``MLFLOW_TRACKING_URI`` names.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``; in float32.

    Returns:
        A model with ``classes``, ``predict(images)`` and ``predict_proba(images)``.

    Raises:
        ThawError: there is no such model or device, or the model differs from what was registered.

    Examples:
        >>> model = thaw.load_model("models:/flowers@champion")
        >>> table = model.predict(["photo.jpg"])
    """
    return loaded_model.load(str(model), device=device)


@dataclass(frozen=True)
class Promotion:
    """The decision of the gate, and the table that `thaw promote` prints."""

    promoted: bool
    report: str


class Project:
    """A project folder: its parameters, its data, its pipeline and its registered models.

    It need not be the working directory. Stages run in processes of their own (``dvc repro``).

    Examples:
        >>> project = thaw.Project("flowers")
        >>> project.set({"unfreeze.depth": 2})
        ['unfreeze.depth']
        >>> project.run().metrics["accuracy"]
        0.94
        >>> project.load_model("champion").predict(["photo.jpg"])
        >>> project.promote().promoted
    """

    def __init__(self, path: str | Path = ".") -> None:
        self.folder = Path(path).resolve()
        if not (self.folder / PARAMS_FILE).is_file():
            raise ThawError(
                f"{self.folder} is not a project of thaw (it has no {PARAMS_FILE}): give the "
                "folder of a project, or create one with `thaw init DIR`"
            )

    @classmethod
    def create(cls, path: str | Path, images: str | Path | None = None) -> Project:
        """Create a project for a set of images (`thaw init`), and return it.

        Args:
            path: the folder of the project; it must not be a project already.
            images: a folder with one folder per class, or a CSV file; by default ``data/raw``.

        Returns:
            The new project.

        Raises:
            ThawError: there are no such images, fewer than two classes, or files in the way.
        """
        options = [] if images is None else ["--images", str(Path(images).absolute())]
        run_module(_CLI, ["init", str(Path(path).absolute()), *options], Path.cwd())
        return cls(path)

    def __repr__(self) -> str:
        return f"Project({str(self.folder)!r})"

    @property
    def params(self) -> Params:
        """Return the parameters as ``params.yaml`` has them now, with all defaults."""
        return load(Params, self.folder / PARAMS_FILE)

    def set(self, values: Mapping[str, Any]) -> list[str]:
        """Change values in ``params.yaml``; comments and order stay.

        Args:
            values: new values by dotted key, for example ``{"unfreeze.lr": 0.001}``.

        Returns:
            The keys whose value changed.

        Raises:
            ThawError: a key or a value is not valid; nothing is written.
        """
        return write_values(values, self.folder / PARAMS_FILE)

    @property
    def prepared(self) -> pd.DataFrame:
        """Return the prepared images, one row each: path, digest, label, split, width, height.

        Raises:
            ThawError: the stage ``prepare`` has not run.
        """
        rows = Prepared(self.folder / PREPARED).manifest.rows
        return pd.DataFrame(map(asdict, rows)).set_index("id")

    def images(self, split: SplitName = "test") -> Iterator[NDArray[np.uint8]]:
        """Read the prepared images of a split as RGB arrays (H, W, 3), in the order of their ids.

        Returns:
            One array per image, read when it is asked for.

        Raises:
            ThawError: there is no such split, or the stage ``prepare`` has not run.
        """
        if split not in SPLITS:
            raise ThawError(f"{split} is no split: choose {', '.join(SPLITS)}")
        data = Prepared(self.folder / PREPARED)
        return (data.store.read(int(place)) for place in data.manifest.ids(split))

    def run(
        self, stage: str | None = None, *, force: bool = False, show: bool = True
    ) -> Result | None:
        """Run the pipeline (``dvc repro``); only stages whose inputs changed run again.

        Args:
            stage: run only this stage and the stages that it needs; by default all.
            force: run all stages, or only ``stage``, even if nothing changed.
            show: print the output while the stages run.

        Returns:
            The last result, None as long as the pipeline has never run completely.

        Raises:
            ThawError: a stage failed; the message has the reason.
        """
        target = [] if stage is None else [*["--single-item"] * force, stage]
        run_module("dvc", ["repro", *["--force"] * force, *target], self.folder, show=show)
        return self.last_result

    @property
    def last_result(self) -> Result | None:
        """Return the result of the last complete run, None if there is none."""
        return read_last_result(self.folder / REPORTS / "evaluate")

    def load_model(self, version: str | int = CHAMPION, device: str = AUTO) -> LoadedModel:
        """Load a version of the project's registered model.

        Args:
            version: an alias (``"champion"``, ``"challenger"``) or a number.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

        Returns:
            What :func:`load_model` returns.

        Raises:
            ThawError: there is no such version, or it differs from what was registered.
        """
        by = "/" if str(version).isdigit() else "@"
        name = f"{PREFIX}{self._tracking.registered_model}{by}{version}"
        return loaded_model.load(name, self._tracking, device)

    def promote(
        self,
        version: int | None = None,
        *,
        alias: str = CHAMPION,
        force: bool = False,
        reason: str = "",
    ) -> Promotion:
        """Compare a version with the one that has the alias, and move the alias if the gate passes.

        Args:
            version: the version to promote; by default the one with the alias ``challenger``.
            alias: the alias to move.
            force: move the alias even if the gate refuses; needs a ``reason``.
            reason: text for the history.

        Returns:
            Whether the alias was moved, and the report of the gate.

        Raises:
            ThawError: there is no such version, or the comparison is not possible.
        """
        arguments = [] if version is None else [str(version)]
        arguments += ["--to", alias, "--reason", reason, *["--force"] * force]
        finished = run_module(
            _CLI, ["promote", *arguments], self.folder, show=False, accepted=(_PROMOTED, _REFUSED)
        )
        return Promotion(finished.code == _PROMOTED, finished.output)

    def status(self) -> pd.DataFrame:
        """Return one row per alias of the registered model: version, metrics, run, gate.

        Raises:
            ThawError: there is no registered model yet, or the store does not answer.
        """
        from thaw.promotion.status import alias_statuses
        from thaw.tracking.store import connect_to_read
        from thaw.tracking.store_scope import unchanged_store

        tracking = self._tracking
        with unchanged_store():
            found = alias_statuses(connect_to_read(tracking), tracking.registered_model)
        rows = [{**asdict(one), **one.metrics} for one in found]
        index = pd.Index([one.alias for one in found], name="alias")  # also without a row
        return pd.DataFrame(rows, index).drop(columns=["alias", "metrics"], errors="ignore")

    @property
    def _tracking(self) -> Tracking:
        from thaw.tracking.store_scope import with_absolute_uri

        return with_absolute_uri(self.params.tracking, self.folder)

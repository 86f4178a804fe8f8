"""The result that a report page describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from thaw.config.params import Params
    from thaw.data.prepared import Prepared
    from thaw.evaluation.scores import Result
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec
    from thaw.training.runtime import Runtime


@dataclass(frozen=True)
class Predicted:
    """Probabilities (N, C) of the images ``ids`` (N,) by a model that did not train on them.

    ``origin`` says in one sentence which images they are, and which model predicted them.
    """

    origin: str
    ids: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class Subject:
    """A scored model in its deployment form, with its data and the reports of all stages.

    ``folder`` is the model directory, ``reports`` the folder of the stages' reports. ``predicted``
    are the predictions in which wrong labels are searched for.
    """

    params: Params
    data: Prepared
    runtime: Runtime
    classifier: Classifier
    spec: ModelSpec
    result: Result
    folder: Path
    reports: Path
    predicted: Sequence[Predicted] = ()


@dataclass(frozen=True)
class Registration:
    """The registered version of a result, the alias that it has, and the result's run and key.

    Unless ``is_new``, the version was registered before: it is the same model. ``report`` is the
    address of the report page in MLflow, relative to its start page. ``verdict`` is the gate's last
    answer for the champion, "" if it did not compare the version yet.
    """

    name: str
    version: int
    alias: str
    run_id: str
    key: str
    is_new: bool = True
    report: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Documents:
    """The report page, the model card, and the text that describes the version in the registry."""

    page: Path
    card: Path
    description: str

"""A small scored model with reports, as the stage evaluate hands it to the report page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests import settings, tiny
from tests.stages import small
from thaw.context import Context
from thaw.data.prepared import Prepared
from thaw.evaluation.page.subject import Predicted, Registration, Subject
from thaw.model import directory
from thaw.stages import evaluate
from thaw.system import project_paths
from thaw.system.files import write_json
from thaw.system.stage_names import TRAINING_STAGES
from thaw.training import history

if TYPE_CHECKING:
    from pathlib import Path

REGISTRATION = Registration("flowers", 1, "champion", "0123abcd", "f" * 64)
COUNTS = {"train": 5, "val": 0, "test": 5}


def write_reports(**of_prepare: Any) -> None:
    """Write the reports of all stages before evaluate into the working directory."""
    report = {
        "images": 30,
        "splits": {"train": 15, "val": 0, "test": 15},
        "images_per_class": dict.fromkeys(small.CLASSES, COUNTS),
        "width": {"min": 16, "median": 16, "max": 16},
        "height": {"min": 20, "median": 20, "max": 20},
        "conversions": {},
        "duplicate_groups": 0,
        "duplicates": [],
        "images_in_two_splits": 0,
        "dropped_conflicts": [],
    }
    write_json(project_paths.REPORTS / "prepare" / "report.json", report | of_prepare)
    for stage in TRAINING_STAGES:
        folder = project_paths.REPORTS / stage
        rows = [history.EpochRow(0, None, 2.0, 0.3, 0.0), history.EpochRow(1, 1.5, 1.0, 0.5, 0.01)]
        history.write(rows, folder / project_paths.HISTORY)
        write_json(folder / project_paths.REPORT, {"best_epoch": 1})


def subject(folder: Path, report: str = "full") -> Subject:
    """Return the subject; ``folder`` is the working directory."""
    settings_of_page = settings.PARAMS.evaluate.model_copy(update={"report": report})
    params = settings.PARAMS.model_copy(update={"evaluate": settings_of_page})
    small.save_model(folder / evaluate.MODEL)
    small.prepare(["test", "train"])
    write_reports()
    context = Context(params, Prepared(project_paths.PREPARED), tiny.runtime())
    classifier, spec = directory.load(evaluate.MODEL)
    result = evaluate.run(context, classifier, spec, params.augment.fixed())
    predicted = [Predicted("Images of the test split.", result.ids, result.probabilities)]
    return Subject(
        params, context.data, context.runtime, classifier, spec, result,
        evaluate.MODEL, project_paths.REPORTS, predicted,
    )  # fmt: skip

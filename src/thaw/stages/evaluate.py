"""The stage evaluate: score the test split, write the reports, register the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from thaw.advice.tournament.stage_choices import read_augment
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.context import open_context
from thaw.errors import ThawError
from thaw.evaluation import plots, stage_reports
from thaw.evaluation.scores import Result, Scores, score
from thaw.metrics.predictions import Predictions
from thaw.model.calibration import CalibratedSoftmax
from thaw.model.float32 import strict_float32
from thaw.stages import earlier_models
from thaw.stages.registration import record
from thaw.stages.result_page import documents_of, training_labels
from thaw.system import project_paths
from thaw.system.csv_text import csv_text
from thaw.system.files import write_json, write_whole
from thaw.system.locks import only_process
from thaw.system.processes import die_with_parent, run_main
from thaw.training import history
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.config.data_sections import FixedAugment
    from thaw.context import Context
    from thaw.data.loading import ImageSource
    from thaw.data.prepared import Prepared
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec
    from thaw.training.runtime import Runtime

MODEL = project_paths.DEPLOYED
SECTIONS = ("seed", "augment", "launch", "evaluate", "tracking")


def run(context: Context, classifier: Classifier, spec: ModelSpec, augment: FixedAugment) -> Result:
    """Score the deployment form ``classifier`` on the test split.

    ``augment`` are the distortions of the further views of each image, as in training.

    Raises:
        ThawError: the model and the data have different classes.
    """
    data, settings = context.data, context.params.evaluate
    if spec.classes != data.manifest.classes:
        raise ThawError("the model and the data have different classes: run `dvc repro`")
    source = _test_images(context, spec, augment)
    softmax = CalibratedSoftmax(spec.calibration)
    plain = _logits(context.runtime, classifier, source, "test split")
    probabilities = softmax(plain).numpy()

    def scored(values: NDArray[np.float64]) -> Scores:
        return score(Predictions(values, source.targets, settings.calibration_bins), spec.classes)

    uncalibrated = tta = None
    if spec.calibration and spec.calibration.kind != "none":
        uncalibrated = scored(plain.softmax(dim=1).numpy())
    if settings.tta_views:
        views = [probabilities]
        for epoch in range(1, settings.tta_views + 1):
            what = f"view {epoch}/{settings.tta_views}"
            outputs = _logits(context.runtime, classifier, source, what, epoch)
            views.append(softmax(outputs).numpy())
        tta = scored(np.mean(views, axis=0))
    scores = scored(probabilities)
    return Result(source.ids, source.targets, probabilities, scores, uncalibrated, tta)


def _test_images(context: Context, spec: ModelSpec, augment: FixedAugment) -> ImageSource:
    """Return the test split: plain, and with an epoch as training augments it, but not mixed."""
    unmixed = augment.model_copy(update={"mixup": 0.0, "cutmix": 0.0})
    return context.data.images("test", spec.preprocessing, context.params.seed, unmixed)


@strict_float32()
def _logits(
    runtime: Runtime,
    classifier: Classifier,
    source: ImageSource,
    description: str,
    epoch: int | None = None,
) -> Tensor:
    return logits(runtime, classifier, source, description, epoch).double()


def write(result: Result, spec: ModelSpec, data: Prepared, folder: Path) -> None:
    """Write metrics, tables and pictures into ``folder``.

    ``metrics.json`` has the scores that DVC compares, ``report.json`` those of other forms as well.
    """
    scores = result.scores
    drawn = folder / "plots"
    kinds = {"test": scores, "uncalibrated": result.uncalibrated, "tta": result.tta}
    write_json(folder / project_paths.METRICS, {"test": scores.summary})
    details = {name: each.summary for name, each in kinds.items() if each}
    write_json(folder / project_paths.REPORT, details)
    _write_csv(folder / "per_class.csv", scores.per_class)
    _write_csv(folder / "calibration.csv", scores.reliability)
    _write_csv(folder / "predictions.csv", _predictions(result, spec, data))
    plots.confusion(scores.confusion, spec.classes, drawn / "confusion.png")
    plots.per_class(scores.per_class, drawn / "per_class.png")
    plots.reliability(scores, result.uncalibrated, drawn / "calibration.png")
    histories = history.read_stages()
    kept = {stage: _kept_epoch(stage, rows) for stage, rows in histories.items()}
    plots.learning_curves(histories, kept, drawn / "learning_curves.png")
    plots.mistakes(data.store.thumbnail, _mistakes(result, spec), drawn / "mistakes.png")


def _kept_epoch(stage: str, rows: Sequence[history.EpochRow]) -> history.EpochRow:
    path = project_paths.REPORTS / stage / project_paths.REPORT
    return stage_reports.kept_epoch(rows, stage_reports.read_if_present(path))


def _predictions(result: Result, spec: ModelSpec, data: Prepared) -> list[dict[str, object]]:
    rows = []
    for image_id, target, row in zip(result.ids, result.targets, result.probabilities, strict=True):
        predicted = int(row.argmax())
        rows.append(
            {
                "id": int(image_id),
                "path": data.manifest.rows[image_id].path,
                "label": spec.classes[target],
                "predicted": spec.classes[predicted],
                "probability": float(row[predicted]),
                **{f"p_{label}": float(p) for label, p in zip(spec.classes, row, strict=True)},
            }
        )
    return rows


def _mistakes(result: Result, spec: ModelSpec) -> list[tuple[int, str, str, float]]:
    predicted = result.probabilities.argmax(axis=1)
    return [
        (int(result.ids[i]), spec.classes[result.targets[i]], spec.classes[predicted[i]], float(p))
        for i, p in enumerate(result.probabilities.max(axis=1))
        if predicted[i] != result.targets[i]
    ]


def _write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    lines: list[list[object]] = [list(rows[0]), *(list(row.values()) for row in rows)]
    write_whole(path, csv_text(lines).encode())


def main() -> None:
    """Load the deployment form, run, write the reports and register the model."""
    die_with_parent()
    context = open_context(load(Params), project_paths.PREPARED)
    folder = project_paths.REPORTS / "evaluate"
    classifier, spec = earlier_models.load(MODEL)
    history.read_stages()  # a missing file is reported before the images are scored
    augment = read_augment(context.params.augment, project_paths.REPORTS / "unfreeze")
    result = run(context, classifier, spec, augment)
    labels = training_labels(context, spec)
    if context.runtime.is_main:
        with only_process(project_paths.SCRATCH / "evaluate.lock", "the stage evaluate"):
            write(result, spec, context.data, folder)
            write_documents = documents_of(context, classifier, spec, result, MODEL, labels)
            record(context.params, result, spec, context.data, MODEL, write_documents)
    context.runtime.wait()


if __name__ == "__main__":
    run_main(main)

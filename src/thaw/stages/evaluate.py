"""The stage evaluate: score the test split, write the reports, register the model."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from thaw.config.loading import load
from thaw.config.params import Params
from thaw.context import open_context
from thaw.errors import ThawError
from thaw.evaluation import plots
from thaw.evaluation.scores import Scores, score
from thaw.metrics.predictions import Predictions
from thaw.model import directory
from thaw.model.calibration import CalibratedSoftmax
from thaw.stages import earlier_models
from thaw.system import project_paths
from thaw.system.console import say
from thaw.system.csv_text import csv_text
from thaw.system.files import write_json, write_whole
from thaw.system.locks import only_process
from thaw.system.processes import die_with_parent, run_main
from thaw.system.stage_names import TRAINING_STAGES
from thaw.training import history
from thaw.training.precision import strict_float32
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.config.result_sections import Tracking
    from thaw.context import Context
    from thaw.data.loading import ImageSource
    from thaw.data.prepared import Prepared
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec
    from thaw.registry.register import Registered
    from thaw.training.history import Row
    from thaw.training.runtime import Runtime

MODEL = project_paths.MODELS / TRAINING_STAGES[-1] / "merged"
SECTIONS = ("seed", "augment", "launch", "evaluate", "tracking")


@dataclass(frozen=True)
class Result:
    """The test split's ids, targets, probabilities (N, C) and scores.

    ``uncalibrated``: the scores before calibration, where that changes the probabilities. ``tta``:
    the scores with test-time augmentation, where there is any.
    """

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    scores: Scores
    uncalibrated: Scores | None = None
    tta: Scores | None = None


def run(context: Context, classifier: Classifier, spec: ModelSpec) -> Result:
    """Score the deployment form ``classifier`` on the test split.

    Raises:
        ThawError: the model and the data have different classes.
    """
    data, settings = context.data, context.params.evaluate
    if spec.classes != data.manifest.classes:
        raise ThawError("the model and the data have different classes: run `dvc repro`")
    source = _test_images(context, spec)
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


def _test_images(context: Context, spec: ModelSpec) -> ImageSource:
    """Return the test split: plain, and with an epoch as training augments it, but not mixed."""
    params = context.params
    unmixed = params.augment.model_copy(update={"mixup": 0.0, "cutmix": 0.0})
    return context.data.images("test", spec.preprocessing, params.seed, unmixed)


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
    """Write metrics, tables and pictures into ``folder``."""
    scores = result.scores
    drawn = folder / "plots"
    kinds = {"test": scores, "uncalibrated": result.uncalibrated, "tta": result.tta}
    write_json(folder / "metrics.json", {name: s.summary for name, s in kinds.items() if s})
    _write_csv(folder / "per_class.csv", scores.per_class)
    _write_csv(folder / "calibration.csv", scores.reliability)
    _write_csv(folder / "predictions.csv", _predictions(result, spec, data))
    plots.confusion(scores.confusion, spec.classes, drawn / "confusion.png")
    plots.per_class(scores.per_class, drawn / "per_class.png")
    plots.reliability(scores, result.uncalibrated, drawn / "calibration.png")
    plots.learning_curves(_histories(), drawn / "learning_curves.png")
    plots.mistakes(data.store.thumbnail, _mistakes(result, spec), drawn / "mistakes.png")


def _histories() -> dict[str, list[Row]]:
    return {
        stage: history.read(project_paths.REPORTS / stage / project_paths.HISTORY)
        for stage in TRAINING_STAGES
    }


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


def record(params: Params, result: Result, spec: ModelSpec, data: Prepared, folder: Path) -> None:
    """Complete the MLflow run from the files, and register the model.

    Raises:
        ThawError: the MLflow store does not answer, or fails; the message names what to do.
    """
    with _registration_errors(params.tracking):
        run_id, registered = _register(params, result, spec, data)
    content = {
        "run_id": run_id,
        "name": registered.name,
        "version": registered.version,
        "alias": registered.alias,
    }
    write_json(folder / "registered.json", content)
    if result.tta:
        views = params.evaluate.tta_views
        plain, tta = result.scores.summary["accuracy"], result.tta.summary["accuracy"]
        say(f"test accuracy {plain:.4f}, with {views} augmented views averaged in {tta:.4f}")
    say(f"registered {registered.name} version {registered.version} as @{registered.alias}")


@contextlib.contextmanager
def _registration_errors(tracking: Tracking) -> Iterator[None]:
    from thaw.tracking.store import command_errors

    try:
        with command_errors(tracking):
            yield
    except ThawError as error:
        raise ThawError(
            f"{error}\nthe models and reports are complete, only the registration is missing: "
            "`dvc repro` repeats evaluate and registers the model"
        ) from error


def _register(
    params: Params, result: Result, spec: ModelSpec, data: Prepared
) -> tuple[str, Registered]:
    """Return the id of the completed run, and the version."""
    from thaw.registry.register import ModelRecord, register
    from thaw.tracking.result_run import wait_for_run

    digests = {parent.stage: parent.digest for parent in spec.parents}
    digests[TRAINING_STAGES[-1]] = spec.digest
    tracked = wait_for_run(params, data.manifest.digest, spec.digest)
    with tracked.stage("evaluate"), tracked.active():
        for stage, rows in _histories().items():
            tracked.log_history(stage, rows)
            tracked.copied(stage, digests[stage])
        test_digest = data.split_digest("test")
        tracked.tag({"thaw.parents": spec.lineage, "thaw.test_digest": test_digest})
        note = _note(result, spec, params.evaluate.tta_views)
        tracked.complete(note, params.data, data.manifest.digest)
        facts = ModelRecord(spec.digest, result.scores.summary, spec.lineage, test_digest)
        name, keys = params.tracking.registered_model, params.promote.public_keys
        with directory.only_files_of(MODEL, spec) as model:
            registered = register(name, model, facts, _example(result, data), keys)
    return tracked.run_id, registered


def _note(result: Result, spec: ModelSpec, views: int) -> str:
    scores = result.scores.summary
    tta = calibrated = ""
    if result.uncalibrated:
        before = result.uncalibrated.summary
        calibrated = f"; calibration changed ECE from {before['ece']:.3f} to {scores['ece']:.3f}"
    if result.tta:
        tta = f"; **{result.tta.summary['accuracy']:.4f}** with {views} augmented views averaged in"
    return (
        f"**{scores['accuracy']:.4f}** test accuracy (95 % interval "
        f"{scores['accuracy_low']:.3f} to {scores['accuracy_high']:.3f}) "
        f"on {scores['images']:.0f} images of {len(spec.classes)} classes; "
        f"{spec.backbone}, {len(spec.trained)} of {spec.blocks} blocks trained{calibrated}{tta}"
    )


def _example(result: Result, data: Prepared) -> bytes:
    """Return the first test image as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(data.store.read(int(result.ids[0]))).save(buffer, "PNG")
    return buffer.getvalue()


def main() -> None:
    """Load the deployment form, run, write the reports and register the model."""
    die_with_parent()
    context = open_context(load(Params), project_paths.PREPARED)
    folder = project_paths.REPORTS / "evaluate"
    classifier, spec = earlier_models.load(MODEL)
    _histories()  # a missing file is reported before the images are scored
    result = run(context, classifier, spec)
    if context.runtime.is_main:
        with only_process(project_paths.SCRATCH / "evaluate.lock", "the stage evaluate"):
            write(result, spec, context.data, folder)
            record(context.params, result, spec, context.data, folder)
    context.runtime.wait()


if __name__ == "__main__":
    run_main(main)

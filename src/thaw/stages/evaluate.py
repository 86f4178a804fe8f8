"""The stage evaluate: score the test split, write the reports, register the model."""

from __future__ import annotations

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
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from thaw.context import Context
    from thaw.data.loading import ImageSource
    from thaw.data.prepared import Prepared
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec
    from thaw.training.history import Row
    from thaw.training.runtime import Runtime

MODEL = project_paths.MODELS / TRAINING_STAGES[-1] / "merged"
SECTIONS = ("seed", "augment", "launch", "evaluate", "tracking")


@dataclass(frozen=True)
class Result:
    """The test split's ids, targets, probabilities (N, C) and scores.

    ``tta``: the scores with test-time augmentation, where there is any.
    """

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    scores: Scores
    tta: Scores | None = None


def run(context: Context, classifier: Classifier, spec: ModelSpec) -> Result:
    """Score the deployment form ``classifier`` on the test split.

    Raises:
        ThawError: the model and the data have different classes.
    """
    data, runtime, settings = context.data, context.runtime, context.params.evaluate
    if spec.classes != data.manifest.classes:
        raise ThawError("the model and the data have different classes: run `dvc repro`")
    source = _test_images(context, spec)
    targets = source.targets
    probabilities = _probabilities(runtime, classifier, source, "test split")
    scores = score(Predictions(probabilities, targets, settings.calibration_bins), spec.classes)
    tta = None
    if settings.tta_views:
        views = [
            _probabilities(runtime, classifier, source, f"view {epoch}/{settings.tta_views}", epoch)
            for epoch in range(1, settings.tta_views + 1)
        ]
        mean = np.mean([probabilities, *views], axis=0)
        tta = score(Predictions(mean, targets, settings.calibration_bins), spec.classes)
    return Result(source.ids, targets, probabilities, scores, tta)


def _test_images(context: Context, spec: ModelSpec) -> ImageSource:
    """Return the test split: plain, and with an epoch as training augments it, but not mixed."""
    params = context.params
    unmixed = params.augment.model_copy(update={"mixup": 0.0, "cutmix": 0.0})
    return context.data.images("test", spec.preprocessing, params.seed, unmixed)


@strict_float32()
def _probabilities(
    runtime: Runtime,
    classifier: Classifier,
    source: ImageSource,
    description: str,
    epoch: int | None = None,
) -> NDArray[np.float64]:
    outputs = logits(runtime, classifier, source, description, epoch)
    probabilities: NDArray[np.float64] = outputs.double().softmax(dim=1).numpy()
    return probabilities


def write(result: Result, spec: ModelSpec, data: Prepared, folder: Path) -> None:
    """Write metrics, tables and pictures into ``folder``."""
    scores = result.scores
    drawn = folder / "plots"
    metrics = {"test": scores.summary} | ({"tta": result.tta.summary} if result.tta else {})
    write_json(folder / "metrics.json", metrics)
    _write_csv(folder / "per_class.csv", scores.per_class)
    _write_csv(folder / "calibration.csv", scores.reliability)
    _write_csv(folder / "predictions.csv", _predictions(result, spec, data))
    plots.confusion(scores.confusion, spec.classes, drawn / "confusion.png")
    plots.per_class(scores.per_class, drawn / "per_class.png")
    plots.reliability(scores.reliability, scores.summary["ece"], drawn / "calibration.png")
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
    """Complete the MLflow run from the files, and register the model."""
    from thaw.registry.register import ModelRecord, register
    from thaw.tracking.result_run import ResultRun

    digests = {parent.stage: parent.digest for parent in spec.parents}
    digests[TRAINING_STAGES[-1]] = spec.digest
    tracked = ResultRun(params, data.manifest.digest, spec.digest)
    with tracked.stage("evaluate"), tracked.active():
        for stage, rows in _histories().items():
            tracked.log_history(stage, rows)
            tracked.copied(stage, digests[stage])
        test_digest = data.split_digest("test")
        tracked.tag({"thaw.parents": spec.lineage, "thaw.test_digest": test_digest})
        views = params.evaluate.tta_views
        tracked.complete(_note(result, spec, views), params.data, data.manifest.digest)
        facts = ModelRecord(spec.digest, result.scores.summary, spec.lineage, test_digest)
        name = params.tracking.registered_model
        with directory.only_files_of(MODEL, spec) as model:
            registered = register(
                name, model, facts, _example(result, data), params.promote.public_keys
            )
    content = {
        "run_id": tracked.run_id,
        "name": registered.name,
        "version": registered.version,
        "alias": registered.alias,
    }
    write_json(folder / "registered.json", content)
    if result.tta:
        plain, tta = result.scores.summary["accuracy"], result.tta.summary["accuracy"]
        say(f"test accuracy {plain:.4f}, with {views} augmented views averaged in {tta:.4f}")
    say(f"registered {registered.name} version {registered.version} as @{registered.alias}")


def _note(result: Result, spec: ModelSpec, views: int) -> str:
    scores = result.scores.summary
    tta = ""
    if result.tta:
        tta = f"; **{result.tta.summary['accuracy']:.4f}** with {views} augmented views averaged in"
    return (
        f"**{scores['accuracy']:.4f}** test accuracy (95 % interval "
        f"{scores['accuracy_low']:.3f} to {scores['accuracy_high']:.3f}) "
        f"on {scores['images']:.0f} images of {len(spec.classes)} classes; "
        f"{spec.backbone}, {len(spec.trained)} of {spec.blocks} blocks trained{tta}"
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

"""Registration by the stage evaluate: complete the MLflow run, register the model."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

from PIL import Image

from thaw.errors import ThawError
from thaw.evaluation.page.subject import Registration
from thaw.evaluation.trained_blocks import count_trained
from thaw.model import directory
from thaw.system import project_paths
from thaw.system.console import say
from thaw.system.files import write_json
from thaw.system.stage_names import TRAINING_STAGES
from thaw.training import history

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from thaw.config.params import Params
    from thaw.config.result_sections import Tracking
    from thaw.data.prepared import Prepared
    from thaw.evaluation.page.subject import Documents
    from thaw.evaluation.scores import Result
    from thaw.model.spec import ModelSpec


def record(
    params: Params,
    result: Result,
    spec: ModelSpec,
    data: Prepared,
    folder: Path,
    write_documents: Callable[[Registration], Documents],
) -> None:
    """Complete the MLflow run from the files, and register the model in ``folder``.

    ``write_documents`` writes the report page and the model card of the registered version.

    Raises:
        ThawError: the MLflow store does not answer, or fails; the message names what to do.
    """
    from thaw.promotion.release_pages import update_run_page
    from thaw.registry.descriptions import describe
    from thaw.tracking.result_run import log_documents
    from thaw.tracking.runs_page import address_on
    from thaw.tracking.store import connect, store_uri

    with _registration_errors(params.tracking):
        registered = _register(params, result, spec, data, folder)
        documents = write_documents(registered)
        log_documents(params.tracking, registered.run_id, documents.page, documents.card)
        describe(params.tracking, registered.name, registered.version, documents.description)
        # It may be decided on already. The page in reports/ stays: it is an output of DVC.
        client, _ = connect(params.tracking)
        name, version, run_id = registered.name, registered.version, registered.run_id
        update_run_page(client, name, version, run_id, params.promote.public_keys)
    content = {
        "run_id": registered.run_id,
        "name": registered.name,
        "version": registered.version,
        "alias": registered.alias,
        "is_new": registered.is_new,
    }
    write_json(project_paths.REPORTS / "evaluate" / project_paths.REGISTERED, content)
    say(_accuracy_line(result, params.evaluate.tta_views))
    version_name = f"{name} version {version}"
    if registered.is_new:
        say(f"registered {version_name} as @{registered.alias}; `thaw report` shows the result")
    else:
        say(f"not registered again: this is the model of {version_name}, @{registered.alias}")
    if (uri := store_uri(params.tracking)).startswith("http"):
        say(f"its report: {address_on(uri, registered.report)}")


def _accuracy_line(result: Result, views: int) -> str:
    """Return the test accuracy as a line of the console."""
    scores = result.scores.summary
    tta = ""
    if result.tta:
        tta = f"; with {views} augmented views averaged in {result.tta.summary['accuracy']:.4f}"
    return (
        f"test accuracy {scores['accuracy']:.4f} (95 % interval {scores['accuracy_low']:.3f} to "
        f"{scores['accuracy_high']:.3f}, {scores['images']:.0f} images){tta}"
    )


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
    params: Params, result: Result, spec: ModelSpec, data: Prepared, folder: Path
) -> Registration:
    """Return the version and the run, which is complete."""
    from thaw.registry.register import ModelRecord, register
    from thaw.registry.same_model import find_same
    from thaw.tracking.result_run import report_address, wait_for_run

    digests = {parent.stage: parent.digest for parent in spec.parents}
    digests[TRAINING_STAGES[-1]] = spec.digest
    tracked = wait_for_run(params, data.manifest.digest, spec.digest)
    with tracked.stage("evaluate"), tracked.active():
        histories = history.read_stages()
        for stage, rows in histories.items():
            tracked.log_history(stage, rows)
            tracked.copied(stage, digests[stage])
        tracked.log_curve(histories)
        test_digest = data.split_digest("test")
        tracked.tag({"thaw.parents": spec.lineage, "thaw.test_digest": test_digest})
        note = _note(result, spec, params.evaluate.tta_views)
        tracked.complete(note, params.data, data.manifest.digest)
        scores, content = result.scores.summary, spec.content_digest
        facts = ModelRecord(spec.digest, scores, spec.lineage, test_digest, content)
        name, keys = params.tracking.registered_model, params.promote.public_keys
        found = find_same(name, facts)
        if found is None:
            with directory.only_files_of(folder, spec) as model:
                found = register(name, model, facts, _example(result, data), keys)
    return Registration(
        found.name,
        found.version,
        found.alias,
        tracked.run_id,
        tracked.key,
        found.is_new,
        report_address(tracked.experiment_id, tracked.run_id),
        found.verdict,
    )


def _note(result: Result, spec: ModelSpec, views: int) -> str:
    scores = result.scores.summary
    tta = calibrated = ""
    trained = count_trained(spec, project_paths.REPORTS)
    if result.uncalibrated:
        before = result.uncalibrated.summary
        calibrated = f"; calibration changed ECE from {before['ece']:.3f} to {scores['ece']:.3f}"
    if result.tta:
        tta = f"; **{result.tta.summary['accuracy']:.4f}** with {views} augmented views averaged in"
    return (
        f"**{scores['accuracy']:.4f}** test accuracy (95 % interval "
        f"{scores['accuracy_low']:.3f} to {scores['accuracy_high']:.3f}) "
        f"on {scores['images']:.0f} images of {len(spec.classes)} classes; "
        f"{spec.backbone}, {trained} of {spec.blocks} blocks trained{calibrated}{tta}"
    )


def _example(result: Result, data: Prepared) -> bytes:
    """Return the first test image as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(data.store.read(int(result.ids[0]))).save(buffer, "PNG")
    return buffer.getvalue()

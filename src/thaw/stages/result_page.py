"""The report page and the model card of a result, which the stage evaluate writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.advice.label_predictions import predict_labels
from thaw.advice.stored_measurements import measured_project
from thaw.advice.tournament.stage_choices import read_head_method
from thaw.errors import ThawError
from thaw.evaluation.page import card, content, render
from thaw.evaluation.page.subject import Documents, Predicted, Subject
from thaw.model.sealed_files import SPEC
from thaw.stages import earlier_models
from thaw.system import project_paths
from thaw.system.console import warn
from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thaw.context import Context
    from thaw.evaluation.page.subject import Registration
    from thaw.evaluation.scores import Result
    from thaw.literals import LinearFit
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec

PAGE = project_paths.REPORTS / render.PAGE
CARD = project_paths.REPORTS / card.CARD
_OF_TRAINING = (
    "Images for training and validation, each predicted by a linear head on features of the frozen "
    "backbone that was fitted to other images ({})."
)
_OF_TEST = "Images of the test split, predicted by the model, which did not train on them."


def training_labels(context: Context, spec: ModelSpec) -> list[Predicted]:
    """Return predictions of training and validation images, to find wrong labels among them.

    All processes call it. There are none if ``evaluate.report`` does not ask for them, or if the
    model of the head warm-up, whose backbone did not train, is not the one that ``spec`` was made
    from.
    """
    folder = project_paths.MODELS / "warmup_head"
    if context.params.evaluate.report not in content.FULL or not (folder / SPEC).is_file():
        return []
    classifier, warm = earlier_models.load(folder)
    if warm.digest not in {parent.digest for parent in spec.parents}:
        return []
    kind = _kind_of_head(project_paths.REPORTS / "warmup_head")
    found = predict_labels(context, classifier, warm.preprocessing, kind)
    return [] if found is None else [Predicted(_OF_TRAINING.format(kind), *found)]


def _kind_of_head(report: Path) -> LinearFit:
    """Return how the head warm-up fitted its head; LDA if it trained the head, or is unknown."""
    try:
        fit = read_head_method(report).fit
    except ThawError:  # kept outputs of an earlier version
        return "lda"
    return "lda" if fit == "gradient" else fit


def _measure_depth(context: Context) -> None:
    """Measure how well each block classifies, if these data are not measured yet.

    Without it, the page has no diagram of the depth. In several processes it is left out: the
    others do not take part in the pages.
    """
    if context.runtime.world > 1:
        warn(
            "evaluate.report: all measures the depth in one process only, and this stage has "
            f"{context.runtime.world}: the report page shows what `thaw probe` has measured. Type "
            "`thaw probe`, then `dvc repro --single-item --force evaluate`"
        )
        return
    try:
        measured_project(project_paths.PREPARED, context.runtime.device)
    except ThawError as error:
        warn(f"the report page has no diagram of the depth: {error}")


def documents_of(
    context: Context,
    classifier: Classifier,
    spec: ModelSpec,
    result: Result,
    folder: Path,
    labels: Sequence[Predicted] = (),
) -> Callable[[Registration], Documents]:
    """Measure what page and card of ``result`` show; return the function that writes them.

    ``folder`` is the model directory, ``labels`` are predictions of other images than those of the
    test split. The function is called with the registered version.
    """
    setting = context.params.evaluate.report
    if setting == "all":
        _measure_depth(context)
    tested = Predicted(_OF_TEST, result.ids, result.probabilities)
    subject = Subject(
        params=context.params,
        data=context.data,
        runtime=context.runtime,
        classifier=classifier,
        spec=spec,
        result=result,
        folder=folder,
        reports=project_paths.REPORTS,
        predicted=[*labels, tested] if setting in content.FULL else [],
    )
    measured = content.measure(subject)

    def write(registration: Registration) -> Documents:
        found = content.complete(measured, subject, registration)
        if setting == "off":  # DVC requires the file
            title = f"{registration.name} version {registration.version}"
            render.write_note(title, "There is no report page: evaluate.report is off.", PAGE)
        else:
            render.write_page(found, PAGE)
        write_whole(CARD, card.model_card(found).encode("utf-8", "backslashreplace"))
        return Documents(PAGE, CARD, card.description(found, registration.report))

    return write

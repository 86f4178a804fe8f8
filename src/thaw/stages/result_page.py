"""The report page of a result, which the stage evaluate writes beside the other reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.evaluation.page import content, render
from thaw.evaluation.page.subject import Predicted, Subject
from thaw.system import project_paths

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thaw.context import Context
    from thaw.evaluation.page.subject import Registration
    from thaw.evaluation.scores import Result
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec

PAGE = project_paths.REPORTS / render.PAGE
_OF_TEST = "Images of the test split, predicted by the model, which did not train on them."


def page_of(
    context: Context, classifier: Classifier, spec: ModelSpec, result: Result, folder: Path
) -> Callable[[Registration], Path]:
    """Measure what the page of ``result`` shows; return the function that writes the page.

    ``folder`` is the model directory. The function is called with the registered version. It
    returns the path of the page.
    """
    setting = context.params.evaluate.report
    if setting == "off":
        return _write_note
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
        predicted=[tested] if setting == "full" else [],
    )
    measured = content.measure(subject)

    def write(registration: Registration) -> Path:
        render.write_page(content.complete(measured, subject, registration), PAGE)
        return PAGE

    return write


def _write_note(registration: Registration) -> Path:
    """Write a page that says that there is no report: DVC requires the file."""
    title = f"{registration.name} version {registration.version}"
    render.write_note(title, "There is no report page: evaluate.report is off.", PAGE)
    return PAGE

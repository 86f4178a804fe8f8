"""The report page and the model card of a result, which the stage evaluate writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.evaluation.page import card, content, render
from thaw.evaluation.page.subject import Documents, Predicted, Subject
from thaw.system import project_paths
from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thaw.context import Context
    from thaw.evaluation.page.subject import Registration
    from thaw.evaluation.scores import Result
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec

PAGE = project_paths.REPORTS / render.PAGE
CARD = project_paths.REPORTS / card.CARD
_OF_TEST = "Images of the test split, predicted by the model, which did not train on them."


def documents_of(
    context: Context, classifier: Classifier, spec: ModelSpec, result: Result, folder: Path
) -> Callable[[Registration], Documents]:
    """Measure what page and card of ``result`` show; return the function that writes them.

    ``folder`` is the model directory. The function is called with the registered version.
    """
    setting = context.params.evaluate.report
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

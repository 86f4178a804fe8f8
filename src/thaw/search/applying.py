"""Write the values of a study's winner into ``params.yaml``, for `thaw search --apply`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.registry.starting_model import parent_of
from thaw.search import storage
from thaw.search.opened_study import OpenedStudy
from thaw.search.study import find_study, ranked_trials
from thaw.search.study_definition import StudyDefinition

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.search.confirmation import Candidate


@dataclass(frozen=True)
class Applied:
    """The values of a trial that were written, by dotted key.

    ``winner`` is the sentence about the winner, "" where a trial was named. ``begins_new_study``
    says that a search with these values is another study.
    """

    study: str
    trial: int
    values: dict[str, Any]
    changed: list[str]
    winner: str
    begins_new_study: bool


def apply(prepared: Path, name: str, number: int | None) -> Applied:
    """Write the values of the winner, or of trial ``number``, into ``params.yaml``.

    Raises:
        ThawError: there is no such study or complete trial, or the study has two objectives and
            ``number`` is None.
    """
    params = load(Params)
    digest = Prepared(prepared).manifest.digest
    definition = StudyDefinition.from_params(params, digest, parent_of(params))
    connected = storage.connect_to_read(params.search.storage)
    opened = OpenedStudy(find_study(definition, connected, name), definition, connected)
    complete = {trial.number: trial for trial in ranked_trials(opened.study)}
    winner = ""
    if number is None:
        found = _candidates(opened)
        number, winner = found[0].trial.number, opened.winner_line(found)
    if number not in complete:
        raise ThawError(
            f"the study {opened.study.study_name} has no complete trial {number}: "
            "`thaw search --show` lists the trials"
        )
    values = opened.values_of(complete[number])
    changed = write_values(values)
    changed_params = load(Params)
    later = StudyDefinition.from_params(changed_params, digest, parent_of(changed_params))
    is_new = later.key != definition.key
    return Applied(opened.study.study_name, number, values, changed, winner, is_new)


def _candidates(opened: OpenedStudy) -> list[Candidate]:
    """Return the candidates, the winner first.

    Raises:
        ThawError: there is none, or there are two objectives.
    """
    if opened.has_two_objectives:
        raise ThawError(
            "with two objectives there is no single winner: choose a trial of `thaw search --show` "
            "and give --trial NUMBER"
        )
    found = opened.candidates()
    if not found:
        raise ThawError(
            f"the study {opened.study.study_name} has no complete trial yet: "
            "`thaw search --show` prints its state, `thaw search` continues it"
        )
    return found

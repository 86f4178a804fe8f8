"""`thaw search --apply`: write the values of a study's winner into ``params.yaml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.config import backbone_weights
from thaw.config.editing import write_values, written
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.registry.starting_model import parent_of
from thaw.search import attempt, confirmation, storage
from thaw.search.study import find_study, ranked_trials
from thaw.search.study_definition import StudyDefinition
from thaw.search.study_output import print_winner
from thaw.system.console import print_line, say
from thaw.system.json_output import print_json

if TYPE_CHECKING:
    from pathlib import Path

    import optuna
    from optuna.storages import RDBStorage

    from thaw.search.confirmation import Candidate


def apply(prepared: Path, name: str, number: int | None, *, as_json: bool = False) -> None:
    """Write the values of the winner, or of trial ``number``, into ``params.yaml``; print them.

    Raises:
        ThawError: there is no such study or complete trial, or the study has two objectives and
            ``number`` is None.
    """
    params = load(Params)
    digest = Prepared(prepared).manifest.digest
    definition = StudyDefinition.from_params(params, digest, parent_of(params))
    connected = storage.connect(params.search.storage)
    study = find_study(definition, connected, name)
    complete = {trial.number: trial for trial in ranked_trials(study)}
    if number is None:
        found = _candidates(study, definition, connected)
        number = found[0].trial.number
        if not as_json:
            print_winner(found, definition)
    if number not in complete:
        raise ThawError(
            f"the study {study.study_name} has no complete trial {number}: "
            "`thaw search --show` lists the trials"
        )
    chosen = attempt.values_of(complete[number], definition.dimensions)
    values = backbone_weights.complete(params, chosen)
    changed = write_values(values)
    if as_json:
        about = {"study": study.study_name, "trial": number}
        print_json({**about, "values": values, "changed": changed})
    else:
        print_line(written(changed))
    changed_params = load(Params)
    later = StudyDefinition.from_params(changed_params, digest, parent_of(changed_params))
    if later.key != definition.key:
        say(
            "these values change what a search starts from: the next `thaw search` begins a new "
            f"study; `thaw search --show --study {study.study_name}` shows this one"
        )


def _candidates(
    study: optuna.Study, definition: StudyDefinition, connected: RDBStorage
) -> list[Candidate]:
    """Return the candidates, the winner first.

    Raises:
        ThawError: there is none, or there are two objectives.
    """
    if len(study.directions) > 1:
        raise ThawError(
            "with two objectives there is no single winner: choose a trial of `thaw search --show` "
            "and give --trial NUMBER"
        )
    found = confirmation.candidates(study, definition, connected)
    if not found:
        raise ThawError(
            f"the study {study.study_name} has no complete trial yet: "
            "`thaw search --show` prints its state, `thaw search` continues it"
        )
    return found

"""Write the values of a study's winner into ``params.yaml``, for `thaw search --apply`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import optuna

from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.parameter_values import value_of
from thaw.config.params import Params
from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.registry.starting_model import parent_of
from thaw.search import storage
from thaw.search.dimension import Dimension
from thaw.search.opened_study import OpenedStudy
from thaw.search.study import find_study, ranked_trials
from thaw.search.study_definition import StudyDefinition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage

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
        ThawError: there is no such study or complete trial, the study has two objectives and
            ``number`` is None, or the storage fails.
    """
    params = load(Params)
    digest = Prepared(prepared).manifest.digest
    definition = StudyDefinition.from_params(params, digest, parent_of(params))
    connected = storage.connect_to_read(params.search.storage)
    with storage.explain_failures(params.search.storage):
        try:
            study = find_study(definition, connected, name)
        except ThawError:
            if name or (before := _applied_before(definition, connected, number)) is None:
                raise
            return before
        chosen = _choose(OpenedStudy(study, definition, connected), number)
    changed = write_values(chosen.values)
    changed_params = load(Params)
    later = StudyDefinition.from_params(changed_params, digest, parent_of(changed_params))
    return replace(chosen, changed=changed, begins_new_study=later.key != definition.key)


def _choose(opened: OpenedStudy, number: int | None) -> Applied:
    """Return the values of the winner, or of trial ``number``; nothing is written.

    Raises:
        ThawError: there is no complete trial, or the study has two objectives and ``number`` is
            None.
    """
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
    values = opened.complete_values(complete[number])
    return Applied(opened.study.study_name, number, values, [], winner, begins_new_study=False)


def _applied_before(
    definition: StudyDefinition, connected: RDBStorage, number: int | None
) -> Applied | None:
    """Return the study of which ``params.yaml`` has the values already; None if there is none.

    Values outside of the space begin a new study, so that ``definition`` has no study yet. Of the
    trial of an earlier study, all values count, also those of parameters that ``definition`` does
    not search.
    """
    for name in optuna.get_all_study_names(connected):
        with suppress(ThawError):  # a study without a winner
            study = find_study(definition, connected, name)
            own = replace(definition, dimensions=_dimensions_of(study))
            found = _choose(OpenedStudy(study, own, connected), number)
            if _has_values(definition.params, found.values):
                return replace(found, begins_new_study=True)
    return None


def _dimensions_of(study: optuna.Study) -> list[Dimension]:
    """Return the dimensions that the complete trials of ``study`` have drawn values from."""
    found: dict[str, BaseDistribution] = {}
    for trial in ranked_trials(study):
        found |= trial.distributions
    return [Dimension(key, distribution) for key, distribution in found.items()]


def _has_values(params: Params, values: Mapping[str, Any]) -> bool:
    """Return whether ``params`` have all ``values``, by dotted key; False if there are none."""
    try:
        return bool(values) and all(value_of(params, key) == each for key, each in values.items())
    except AttributeError:  # a parameter of another program that uses the storage
        return False


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

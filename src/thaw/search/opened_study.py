"""A study of the storage, with what `thaw search` shows of it: trials, winner, values, notes."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thaw.search import attempt, confirmation, equal_trials, tables
from thaw.search.study import ranked_trials

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

    from thaw.search.confirmation import Candidate
    from thaw.search.study_definition import StudyDefinition


@dataclass(frozen=True)
class OpenedStudy:
    """A study with its definition and its storage.

    ``is_interrupted`` says that ctrl-C ended the search before it had all its trials.
    """

    study: optuna.Study
    definition: StudyDefinition
    storage: RDBStorage
    is_interrupted: bool = False

    @property
    def has_two_objectives(self) -> bool:
        """Return whether trials are compared by two metrics, so that none of them wins."""
        return len(self.study.directions) > 1

    @property
    def notes(self) -> list[str]:
        """The sentences about trials whose parameters had no effect."""
        return equal_trials.notes(self.study, self.definition.metrics[0])

    def candidates(self) -> list[Candidate]:
        """Return the candidates, the winner first; none for two objectives."""
        if self.has_two_objectives:
            return []
        return confirmation.candidates(self.study, self.definition, self.storage)

    def winner_line(self, found: list[Candidate]) -> str:
        """Return which of the candidates ``found`` won, or is the best so far."""
        is_confirmed = confirmation.is_confirmed(found, self.definition)
        return tables.winner_line(found, self.definition.metrics[0], confirmed=is_confirmed)

    def complete_values(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return the values of a trial by dotted key, those that its backbone needs included."""
        return self.definition.complete_values(trial)

    def content(self) -> dict[str, Any]:
        """Return for JSON the study, its counts and notes, its trials and its winner.

        The trials are the complete ones, the best first; with two objectives, the Pareto front.
        ``winner`` is None without a candidate.
        """
        several = self.has_two_objectives
        trials = tables.pareto_front(self.study) if several else ranked_trials(self.study)
        found = self.candidates()
        return {
            "study": self.study.study_name,
            "metrics": list(self.definition.metrics),
            "counts": tables.counts(self.study),
            "trials": [self._trial(trial) for trial in trials],
            "winner": self._winner(found) if found else None,
            "notes": self.notes,
        }

    def _winner(self, found: list[Candidate]) -> dict[str, Any]:
        """Return the first candidate; what new seeds say about it is None without them."""
        best, is_confirmed = found[0], confirmation.is_confirmed(found, self.definition)
        finite = is_confirmed and math.isfinite(best.mean)
        return {
            "number": best.trial.number,
            "is_confirmed": is_confirmed,
            "mean": best.mean if finite else None,
            "spread": best.spread if finite else None,
            "is_clear": tables.is_clear(found) if is_confirmed else None,
            "values": self.complete_values(best.trial),
        }

    def _trial(self, trial: FrozenTrial) -> dict[str, Any]:
        return {
            "number": trial.number,
            "metrics": dict(zip(self.definition.metrics, trial.values, strict=True)),
            "best_epoch": json.loads(trial.user_attrs[attempt.RESULT])["best_epoch"],
            "values": self.complete_values(trial),
            "name": trial.user_attrs.get(attempt.NAME, ""),
        }

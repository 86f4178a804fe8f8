"""The append-only history of an alias, and the lock that makes a change of it atomic.

MLflow's aliases have no compare-and-swap, but the name of an experiment is unique, on every store
and over REST. So row n of the history is the experiment ``promotion/MODEL/ALIAS/n``, made in one
step with tags that say what is intended: whoever makes the row may move the alias, all others see
that it is there. A change whose process died is carried out by the next one that looks.

The rows outlive the versions that they are about, and the registered model. A model that was
deleted and created again is a new model: each row has the creation timestamp of its model, and rows
of an earlier one decide nothing.
"""

from __future__ import annotations

import uuid
from functools import cached_property
from typing import TYPE_CHECKING

from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from thaw.errors import ThawError
from thaw.registry import ledger_rows
from thaw.registry.ledger_rows import last_change
from thaw.registry.names import CHALLENGER, CHAMPION, FIRST, GATE, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlflow.entities import Experiment
    from mlflow.entities.model_registry import RegisteredModel
    from mlflow.tracking import MlflowClient

    from thaw.registry.ledger_rows import Intent, Row


class ConflictError(ThawError):
    """Somebody else changed the alias first."""

    def __init__(self, name: str, alias: str) -> None:
        super().__init__(f"{name}: the {alias} changed, look again (`thaw status`)")


class Ledger:
    """The history of ``alias`` of the registered model ``name``."""

    def __init__(self, client: MlflowClient, name: str, alias: str = CHAMPION) -> None:
        self.client = client
        self.name = name
        self.alias = alias
        self._key = f"{name}/{alias}"
        self._prefix = f"promotion/{self._key}/"

    @cached_property
    def created(self) -> int:
        """The creation timestamp (ms) of the registered model, as it was at the first look."""
        return created(self.client, self.name)

    def rows(self) -> list[Row]:
        """Return the rows of the registered model in the order of their numbers, not of a clock."""
        return [row for row in self.all_rows() if row.model == self.created]

    def all_rows(self) -> list[Row]:
        """Return also the rows of earlier models of this name, which were deleted."""
        found = (ledger_rows.read(one, self.created) for one in self._experiments())
        return sorted(found, key=lambda row: row.number)

    def first(self) -> int | None:
        """Return the first champion where no row says it, as in histories of older versions.

        Known by its tag, as long as it was not deleted.
        """
        if self.alias != CHAMPION:
            return None
        try:
            entry = self.client.get_model_version(self.name, "1")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return 1 if entry.tags.get(GATE) == FIRST else None

    def standing(self) -> int | None:
        """The version that the alias stands on now."""
        return aliases(self.client, self.name).get(self.alias)

    def settle(self) -> list[Row]:
        """Carry out what a process that died had begun; all rows."""
        rows = self.rows()
        change = last_change(rows)
        if change is None or change.state == "done":
            return rows
        self._carry_out(change)
        return self.rows()

    def record(self, intent: Intent, seen: Sequence[Row]) -> Row:
        """Append a row, and carry out what it says.

        ``seen`` are the rows on which the decision was made.

        Raises:
            ConflictError: the alias was moved since.
        """
        row = self._append(intent, seen)
        if row.changes:
            self._carry_out(row)
        return row

    def _append(self, intent: Intent, seen: Sequence[Row]) -> Row:
        nonce = uuid.uuid4().hex
        number = max((row.number for row in seen), default=0)
        if created(self.client, self.name) != self.created:
            raise ConflictError(self.name, self.alias)
        while True:
            number += 1
            if intent.kind != "refusal" and self.standing() != intent.origin:
                raise ConflictError(self.name, self.alias)
            try:
                self.client.create_experiment(
                    f"{self._prefix}{number}",
                    tags=ledger_rows.tags(intent, self._key, self.alias, nonce, self.created),
                )
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = self.client.get_experiment_by_name(f"{self._prefix}{number}")
            row = ledger_rows.read(found, self.created)
            if row.nonce == nonce:  # also where a retried request met what it had made itself
                return row
            if row.model == self.created and row.changes and intent.kind != "refusal":
                raise ConflictError(self.name, self.alias)

    def _carry_out(self, row: Row) -> None:
        """Every step may be taken again, by anyone, after a crash between any two."""
        while True:
            try:
                self._move(row.intent)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                self.client.set_experiment_tag(row.experiment_id, ledger_rows.STATE, "void")
                raise ThawError(
                    f"{self.name} version {row.intent.to} was deleted before it became the "
                    f"{self.alias}: the {self.alias} was not moved"
                ) from None
            self.client.set_experiment_tag(row.experiment_id, ledger_rows.STATE, "done")
            newest = last_change(self.rows())
            if newest is None or newest.number <= row.number:
                return
            row = newest  # this process slept while another went on: what that one did stands

    def _move(self, intent: Intent) -> None:
        self.client.set_registered_model_alias(self.name, self.alias, str(intent.to))
        if self.alias != CHAMPION:
            return
        standing = aliases(self.client, self.name)
        if intent.previous is None or not exists(self.client, self.name, intent.previous):
            if PREVIOUS in standing:
                self.client.delete_registered_model_alias(self.name, PREVIOUS)
        else:
            self.client.set_registered_model_alias(self.name, PREVIOUS, str(intent.previous))
        if standing.get(CHALLENGER) == intent.to:
            self.client.delete_registered_model_alias(self.name, CHALLENGER)

    def _experiments(self) -> Iterator[Experiment]:
        found = _experiments(self.client, f"tags.`{ledger_rows.LEDGER}` = '{self._key}'")
        # the tag can be set by hand, the name is what is unique
        return (one for one in found if one.name.startswith(self._prefix))


def unsettled(client: MlflowClient, name: str) -> set[str]:
    """The aliases of a registered model with a row that was begun: one may not be there yet."""
    mine = f"tags.`{ledger_rows.LEDGER}` LIKE '{name}/%' AND tags.`{ledger_rows.STATE}` = 'open'"
    keys = (found.tags[ledger_rows.LEDGER].rpartition("/") for found in _experiments(client, mine))
    return {alias for model, _, alias in keys if model == name}  # "_" and "%" match anything


def _experiments(client: MlflowClient, wanted: str) -> Iterator[Experiment]:
    token = None
    while True:
        page = client.search_experiments(
            ViewType.ALL, filter_string=wanted, max_results=1000, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def aliases(client: MlflowClient, name: str) -> dict[str, int]:
    """The version that each alias of a registered model stands on.

    Raises:
        ThawError: there is no such model.
    """
    return {alias: int(number) for alias, number in _model(client, name).aliases.items()}


def created(client: MlflowClient, name: str) -> int:
    """Return the creation timestamp (ms) of a registered model, by which it is told from others.

    Raises:
        ThawError: there is no such model.
    """
    return int(_model(client, name).creation_timestamp or 0)


def _model(client: MlflowClient, name: str) -> RegisteredModel:
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise ThawError(f"there is no registered model {name!r}: run `dvc repro` first") from None


def exists(client: MlflowClient, name: str, number: int) -> bool:
    """Whether the version is still in the registry."""
    try:
        client.get_model_version(name, str(number))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True

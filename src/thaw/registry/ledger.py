"""The append-only history of an alias. It is also the lock that makes a move of the alias atomic.

MLflow's aliases have no compare-and-swap, but the name of an experiment is unique, in every store
and over REST. Row n of the history is therefore the experiment ``promotion/MODEL/ALIAS/n``. It is
created in one step, with tags that hold the decision. The process that creates the row may move the
alias; all others see that the row exists. If the process dies before it moves the alias, the next
one that reads the history moves it.

Rows outlive the versions that they are about, and the registered model. A model that was deleted
and created again is a new model: each row has the creation timestamp of its model, and rows of an
earlier model have no effect.
"""

from __future__ import annotations

import uuid
from functools import cached_property
from typing import TYPE_CHECKING

from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from thaw.errors import ThawError
from thaw.registry import ledger_rows
from thaw.registry.aliases import aliases, creation_time, is_missing, version_exists
from thaw.registry.champion_history import last_move
from thaw.registry.names import CHALLENGER, CHAMPION, FIRST, GATE, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlflow.entities import Experiment
    from mlflow.tracking import MlflowClient

    from thaw.registry.ledger_rows import Decision, Row


class ConflictError(ThawError):
    """Another process changed the alias first."""

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
    def model_created(self) -> int:
        """The creation timestamp (ms) of the registered model when it was first read."""
        return creation_time(self.client, self.name)

    def rows(self) -> list[Row]:
        """Return the rows of the registered model, ordered by their numbers."""
        return [row for row in self.all_rows() if row.model == self.model_created]

    def all_rows(self) -> list[Row]:
        """Return the rows of this model and of earlier models of this name, which were deleted."""
        found = (ledger_rows.row_of(one, self.model_created) for one in self._experiments())
        return sorted(found, key=lambda row: row.number)

    def first_by_tag(self) -> int | None:
        """Return the first champion if a tag of its version says so, as thaw 0.1 recorded it.

        None if that version was deleted.

        Raises:
            MlflowException: the store failed.
        """
        if self.alias != CHAMPION:
            return None
        try:
            entry = self.client.get_model_version(self.name, "1")
        except MlflowException as error:
            if not is_missing(error):
                raise
            return None
        return 1 if entry.tags.get(GATE) == FIRST else None

    def current_version(self) -> int | None:
        """Return the version that has the alias now."""
        return aliases(self.client, self.name).get(self.alias)

    def complete(self) -> list[Row]:
        """Move the alias if a process died before it did so; return all rows."""
        rows = self.rows()
        row = last_move(rows)
        if row is None or row.state == "done":
            return rows
        self._apply(row)
        return self.rows()

    def record(self, decision: Decision, seen: Sequence[Row]) -> Row:
        """Append a row and move the alias as it says.

        ``seen`` are the rows on which the decision is based.

        Raises:
            ConflictError: the alias was moved since.
        """
        row = self._append(decision, seen)
        if row.moves_alias:
            self._apply(row)
        return row

    def _append(self, decision: Decision, seen: Sequence[Row]) -> Row:
        nonce = uuid.uuid4().hex
        number = max((row.number for row in seen), default=0)
        if creation_time(self.client, self.name) != self.model_created:
            raise ConflictError(self.name, self.alias)
        tags = ledger_rows.row_tags(
            decision, ledger=self._key, alias=self.alias, nonce=nonce, model=self.model_created
        )
        is_refusal = decision.kind == "refusal"
        while True:
            number += 1
            if not is_refusal and self.current_version() != decision.origin:
                raise ConflictError(self.name, self.alias)
            row = self._create_or_read(number, tags)
            if row.nonce == nonce:  # also if a repeated request found the row that it had created
                return row
            if row.model == self.model_created and row.moves_alias and not is_refusal:
                raise ConflictError(self.name, self.alias)

    def _create_or_read(self, number: int, tags: dict[str, str]) -> Row:
        """Create row ``number`` with ``tags``, unless it exists; return the row that exists now."""
        try:
            self.client.create_experiment(f"{self._prefix}{number}", tags=tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = self.client.get_experiment_by_name(f"{self._prefix}{number}")
        return ledger_rows.row_of(found, self.model_created)

    def _apply(self, row: Row) -> None:
        """Move the aliases as ``row`` says. After a crash, any process can repeat every step."""
        while True:
            try:
                self._move(row.decision)
            except MlflowException as error:
                if not is_missing(error):
                    raise
                self.client.set_experiment_tag(row.experiment_id, ledger_rows.STATE, "void")
                raise ThawError(
                    f"{self.name} version {row.decision.to} was deleted before it became the "
                    f"{self.alias}: the {self.alias} was not moved"
                ) from None
            self.client.set_experiment_tag(row.experiment_id, ledger_rows.STATE, "done")
            newest = last_move(self.rows())
            if newest is None or newest.number <= row.number:
                return
            row = newest  # another process appended a row while this one was slow: apply that one

    def _move(self, decision: Decision) -> None:
        self.client.set_registered_model_alias(self.name, self.alias, str(decision.to))
        if self.alias != CHAMPION:
            return
        current = aliases(self.client, self.name)
        previous = decision.previous
        if previous is None or not version_exists(self.client, self.name, previous):
            if PREVIOUS in current:
                self.client.delete_registered_model_alias(self.name, PREVIOUS)
        else:
            self.client.set_registered_model_alias(self.name, PREVIOUS, str(previous))
        if current.get(CHALLENGER) == decision.to:
            self.client.delete_registered_model_alias(self.name, CHALLENGER)

    def _experiments(self) -> Iterator[Experiment]:
        found = _experiments(self.client, f"tags.`{ledger_rows.LEDGER}` = '{self._key}'")
        # Anyone can set the tag, but only the name is unique.
        return (one for one in found if one.name.startswith(self._prefix))


def aliases_with_open_rows(client: MlflowClient, name: str) -> set[str]:
    """Return the aliases of a model with a row whose move is not completed.

    Such an alias may not exist yet.
    """
    condition = (
        f"tags.`{ledger_rows.LEDGER}` LIKE '{name}/%' AND tags.`{ledger_rows.STATE}` = 'open'"
    )
    found = _experiments(client, condition)
    keys = (one.tags[ledger_rows.LEDGER].rpartition("/") for one in found)
    return {alias for model, _, alias in keys if model == name}  # LIKE: "_" and "%" are wildcards


def _experiments(client: MlflowClient, condition: str) -> Iterator[Experiment]:
    token = None
    while True:
        page = client.search_experiments(
            ViewType.ALL, filter_string=condition, max_results=1000, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return

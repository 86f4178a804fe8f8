"""The append-only history of an alias. It is also the lock that makes a move of the alias atomic.

MLflow's aliases have no compare-and-swap, but the name of an experiment is unique, in every store
and over REST. Row n of the history is therefore the experiment ``promotion/MODEL/ALIAS/n``. It is
created in one step, with tags that hold the decision. The process that creates the row may move the
alias; all others see that the row exists. If the process dies before it moves the alias, the next
one that reads the history moves it.

Anyone who can write to the store can write such experiments. The rows are therefore a chain of
digests, signed where keys are configured (``ledger_chain``). Other rows never move an alias.

Rows outlive versions and models. Rows with the creation timestamp of an earlier model of the same
name have no effect. A model that was renamed keeps its timestamp and its rows.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from thaw.errors import ThawError
from thaw.registry import ledger_rows, ledger_store, row_states
from thaw.registry.alias_moves import (
    GivenUpMoveError,
    RefusedMoveError,
    move_aliases,
    warn_of_open_move,
)
from thaw.registry.aliases import aliases, creation_time, is_missing, is_refused, version_exists
from thaw.registry.artifact_check import ChangedArtifactError, check_artifact
from thaw.registry.champion_history import last_move
from thaw.registry.ledger_chain import check_chain
from thaw.registry.ledger_view import View
from thaw.registry.names import CHAMPION, FIRST, GATE
from thaw.registry.signing import required_signer
from thaw.system.console import warn
from thaw.tracking.run_owner import server_account

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mlflow.tracking import MlflowClient

    from thaw.registry.ledger_chain import Chain
    from thaw.registry.ledger_rows import Decision, Row
    from thaw.registry.signing import Signer

_MOST_ATTEMPTS = 100  # to find a free number: others may take numbers at the same time


class ConflictError(ThawError):
    """Another process changed the alias first."""

    def __init__(self, name: str, alias: str) -> None:
        super().__init__(f"{name}: the {alias} changed, look again (`thaw status`)")


class Ledger:
    """The history of ``alias`` of the registered model ``name``.

    ``trusted`` are the public keys whose rows count; without any, every row in the chain counts.
    """

    def __init__(
        self,
        client: MlflowClient,
        name: str,
        alias: str = CHAMPION,
        trusted: Collection[str] = (),
    ) -> None:
        self.client = client
        self.name = name
        self.alias = alias
        self.trusted = trusted
        self.key = f"{name}/{alias}"

    @cached_property
    def model_created(self) -> int:
        """The creation timestamp (ms) of the registered model when it was first read."""
        return creation_time(self.client, self.name)

    def view(self) -> View:
        """Return everything that the store has for this ledger, checked."""
        own, occupied = self._chain(self.key)
        keys = ledger_store.ledgers_of_model(self.client, self.model_created, self.alias)
        earlier = {key: self._chain(key)[0] for key in sorted(keys - {self.key})}
        return View(self.key, self.model_created, own, earlier, occupied)

    def rows(self) -> list[Row]:
        """Return the rows of the registered model, oldest first."""
        return self.view().rows

    def all_rows(self) -> list[Row]:
        """Return the rows of this model and of earlier models of this name, which were deleted."""
        return self.view().all_rows

    def first_by_tag(self) -> int | None:
        """Return the first champion if a tag of its version says so, as thaw 0.1 recorded it.

        None if that version was deleted, if rows must be signed (a tag has no signature), or if the
        first move says otherwise.

        Raises:
            MlflowException: the store failed.
        """
        is_possible = self.alias == CHAMPION and not self.trusted
        if not is_possible or not version_exists(self.client, self.name, 1):
            return None
        if self.client.get_model_version(self.name, "1").tags.get(GATE) != FIRST:
            return None
        move = next((row.decision for row in self.rows() if row.moves_alias), None)
        return 1 if move is None or move.origin == 1 or move.kind == "first" else None

    def current_version(self) -> int | None:
        """Return the version that has the alias now."""
        return aliases(self.client, self.name).get(self.alias)

    def complete(self) -> list[Row]:
        """Move the alias if a process died before it did so; return all rows.

        There is a warning if the account may not move it, or if the move is given up: then its row
        is void, also for an account that may not write that.

        Raises:
            MlflowException: the store failed.
        """
        rows = self.rows()
        row = last_move(rows)
        if row is None or row.state == "done":
            return rows
        try:
            self._apply(row)
        except GivenUpMoveError as error:
            warn(str(error))
            return row_states.without_move(self.rows(), row)
        except MlflowException as error:
            if not is_refused(error):
                raise
            warn_of_open_move(self.name, self.alias, row)
        return self.rows()

    def record(self, decision: Decision, seen: Sequence[Row]) -> Row:
        """Append a row and move the alias as it says.

        ``seen`` are the rows on which the decision is based.

        Raises:
            ConflictError: the alias was moved since.
            RefusedMoveError: the account may not move the alias.
            ThawError: there is no key to sign the row, or the artifact of the version was changed.
            MlflowException: the store failed.
        """
        ledger_store.hide_rows(self.client, self.key)
        row = self._append(decision, seen)
        if not row.moves_alias:
            return row
        try:
            self._apply(row)
        except MlflowException as error:
            if not is_refused(error):
                raise
            self._end(row, "void")  # otherwise the next account that may move the alias does it
            raise RefusedMoveError(self.name, self.alias) from None
        return row

    def signer(self) -> Signer | None:
        """Return the key that signs new rows, or None if none is configured.

        Raises:
            ThawError: rows must be signed, and there is no key, or it is not a trusted one.
        """
        return required_signer(self.name, self.trusted)

    def _append(self, decision: Decision, seen: Sequence[Row]) -> Row:
        nonce = uuid.uuid4().hex
        signer = self.signer()
        if creation_time(self.client, self.name) != self.model_created:
            raise ConflictError(self.name, self.alias)
        is_move = decision.kind in ledger_rows.MOVES
        if is_move and decision.model:
            check_artifact(self.client, self.name, decision.to, decision.model)
        row = ledger_rows.new_row(
            decision,
            ledger=self.key,
            nonce=nonce,
            model=self.model_created,
            account=server_account(self.client.tracking_uri),
        )
        known = {one.experiment_id for one in seen}
        for _ in range(_MOST_ATTEMPTS):
            view = self.view()
            moved = (one for one in view.rows if one.moves_alias and one.experiment_id not in known)
            if is_move and (
                self.current_version() != decision.origin or next(moved, None) is not None
            ):
                raise ConflictError(self.name, self.alias)
            chained = ledger_rows.chained(row, view.next_number, view.own.head, signer)
            found = ledger_store.create_row(self.client, chained)
            if found is not None and found.nonce == nonce:
                return found
        raise ThawError(
            f"{self.name}: no row could be added to the history of @{self.alias}, because the "
            "names of the next ones are taken (`thaw history --verify`)"
        )

    def _apply(self, row: Row) -> None:
        """Move the aliases as ``row`` says. After a crash, any process can repeat every step."""
        while True:
            try:
                if row.decision.model:
                    check_artifact(self.client, self.name, row.decision.to, row.decision.model)
                self._move(row.decision)
            except ChangedArtifactError as error:
                self._end(row, "void")
                raise GivenUpMoveError(f"{error}: the {self.alias} was not moved") from None
            except MlflowException as error:
                if not is_missing(error):
                    raise
                self._end(row, "void")
                raise GivenUpMoveError(
                    f"{self.name} version {row.decision.to} was deleted before it became the "
                    f"{self.alias}: the {self.alias} was not moved"
                ) from None
            self._end(row, "done")
            rows = self.rows()
            newest = last_move(rows)
            ids = [one.experiment_id for one in rows]
            if newest is None or ids.index(newest.experiment_id) <= ids.index(row.experiment_id):
                return
            row = newest  # another process appended a row while this one was slow: apply that one

    def _end(self, row: Row, state: ledger_rows.State) -> None:
        row_states.end_row(self.client, self.name, row, state)

    def _move(self, decision: Decision) -> None:
        move_aliases(self.client, self.name, self.alias, decision)

    def _chain(self, key: str) -> tuple[Chain, frozenset[str]]:
        stored = ledger_store.read_rows(self.client, key, self.model_created)
        rows = row_states.with_known_ends(self.client, self.name, stored.rows)
        chain = check_chain(rows, self.trusted)
        problems = [*stored.problems, *chain.problems]
        return replace(chain, problems=problems), stored.occupied

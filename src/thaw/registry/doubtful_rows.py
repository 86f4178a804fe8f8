"""Rows that may belong to a ledger and do not count: renamed, changed, skipped or not signed.

They may record that a version had the alias. A row is found by its name, its tags and its content:
the digest of a row with changed tags still fits the ledger that it was written for. Rows that
plainly belong to another ledger are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thaw.registry import ledger_tags
from thaw.registry.aliases import creation_times
from thaw.registry.ledger_chain import Problem
from thaw.registry.ledger_rows import MOVES
from thaw.registry.ledger_store import experiments
from thaw.registry.ledger_tags import BadRowError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlflow.entities import Experiment

    from thaw.registry.ledger import Ledger
    from thaw.registry.ledger_rows import Row
    from thaw.registry.ledger_view import View

_NAME = re.compile(r"promotion/(.+)/[^/]*", re.DOTALL)
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_TAGS = {
    ledger_tags.LEDGER, ledger_tags.STATE, ledger_tags.NONCE, ledger_tags.MODEL,
    ledger_tags.PARENT, ledger_tags.DIGEST, ledger_tags.SIGNER, ledger_tags.SIGNATURE,
}  # fmt: skip
_CHAINED_TAGS = {ledger_tags.PARENT, ledger_tags.DIGEST, ledger_tags.SIGNER}
_MOST_NAMED = 5  # in a message
_MOST_NUMBERS = 1000  # that are tried to find the ledger that a digest fits


def doubtful_rows(ledger: Ledger) -> list[Problem]:
    """Return the rows that may belong to ``ledger`` and do not count, each with the reason.

    All experiments of the store are read. Experiments that are older than the registered model
    are left out, because they cannot be its rows.

    Raises:
        MlflowException: the store failed.
    """
    view, doubtful = _doubtful(ledger)
    return [*_problems(view, doubtful), *_gaps(view), *_void(view)]


def claimed_versions(ledger: Ledger, after: int) -> set[int]:
    """Return the versions that rows name which may belong to ``ledger`` and do not count.

    Unsigned rows, and rows whose name gives a number up to ``after``, are left out.

    Raises:
        MlflowException: the store failed.
    """
    view, doubtful = _doubtful(ledger)
    unsigned = {row.experiment_id for row in view.unsigned}
    names = {f"{ledger_tags.prefix_of(view.key)}{number}" for number in range(1, after + 1)}
    texts = (
        one.tags.get(f"thaw.{field}", "")
        for one in doubtful
        if one.experiment_id not in unsigned and one.name not in names
        for field in ("to", "origin")
    )
    return {int(text) for text in texts if _VERSION.fullmatch(text)}


def _doubtful(ledger: Ledger) -> tuple[View, list[Experiment]]:
    """Return the view of ``ledger``, and experiments that may be rows of it and do not count."""
    # Before the view: a row that another process adds meanwhile is then in the view only.
    stored = [one for one in experiments(ledger.client, "") if _looks_like_row(one)]
    view = ledger.view()
    since = [
        one for one in stored if (one.creation_time or view.model_created) >= view.model_created
    ]
    owners = _Owners(
        keys={view.key, *view.earlier},
        model_created=view.model_created,
        created=creation_times(ledger.client),
        verified={_model(row.ledger) for row in map(_verified, stored) if row is not None},
    )
    counted = {row.experiment_id for row in view.rows}
    return view, [one for one in since if one.experiment_id not in counted and owners.may_own(one)]


def damage(problems: Sequence[Problem]) -> str:
    """Return a phrase that names the rows of ``problems``, at most five of them."""
    more = len(problems) - _MOST_NAMED
    listed = "; ".join(str(one) for one in problems[:_MOST_NAMED])
    return f"the history has damaged rows: {listed}{f'; {more} more' if more > 0 else ''}"


@dataclass(frozen=True)
class _Owners:
    """The ledgers ``keys`` of a model, and what is known about the other models of the store.

    ``created`` holds the creation timestamp (ms) of each registered model, ``verified`` the names
    of models that have a verified row.
    """

    keys: Collection[str]
    model_created: int
    created: Mapping[str, int]
    verified: Collection[str]

    def may_own(self, one: Experiment) -> bool:
        """Return whether the experiment may be a row of the model."""
        places = {_key_in_name(one), one.tags.get(ledger_tags.LEDGER, "")} - {""}
        row = _verified(one)
        if row is not None:
            return row.ledger in self.keys and row.model == self.model_created
        if places & {*self.keys}:
            return True
        if any(_has_content_of(one, key, str(self.model_created)) for key in self.keys):
            return True
        return bool(_TAGS & {*one.tags}) and not self._is_of_another(one, places)

    def _is_of_another(self, one: Experiment, places: Collection[str]) -> bool:
        """Return whether a row that does not verify still plainly belongs to another ledger."""
        stamp = one.tags.get(ledger_tags.MODEL, "")
        models = {_model(place) for place in places}
        stamped = {name for name, time in self.created.items() if str(time) == stamp}
        is_agreed = places == {_key_in_name(one)} and ledger_tags.LEDGER in one.tags
        if is_agreed and not _CHAINED_TAGS & {*one.tags}:
            return True  # a row of thaw 0.1
        is_other_stamp = stamp != str(self.model_created)
        if is_other_stamp and (stamped & models or (is_agreed and stamped)):
            return True
        if is_agreed and models <= {*self.created, *self.verified}:
            return True
        stamps = {stamp, *(str(self.created[name]) for name in models if name in self.created)}
        return any(_has_content_of(one, place, time) for place in places for time in stamps)


def _looks_like_row(one: Experiment) -> bool:
    return bool(_key_in_name(one) or _TAGS & {*one.tags})


def _key_in_name(one: Experiment) -> str:
    found = _NAME.fullmatch(one.name)
    return found[1] if found else ""


def _model(key: str) -> str:
    return key.rpartition("/")[0]


def _verified(one: Experiment) -> Row | None:
    """Return the row if name, tags and digest agree, else None."""
    try:
        row = ledger_tags.row_of(one, one.tags.get(ledger_tags.LEDGER, ""), 0)
    except BadRowError:
        return None
    return row if row.is_chained else None


def _has_content_of(one: Experiment, key: str, stamp: str) -> bool:
    """Return whether the digest of the row fits the ledger ``key`` and the model of ``stamp``."""
    tags = {**one.tags, ledger_tags.MODEL: stamp}
    try:
        row = ledger_tags.row_of_tags(tags, one.experiment_id, key, 1)
    except BadRowError:
        return False
    numbers = range(1, _MOST_NUMBERS + 1) if row.is_chained else ()
    return any(replace(row, number=n).content_digest() == row.digest for n in numbers)


def _problems(view: View, doubtful: Sequence[Experiment]) -> list[Problem]:
    """Return why each of ``doubtful`` does not count, in the words of ``thaw history --verify``."""
    unsigned = {row.experiment_id for row in view.unsigned}
    known = {problem.place: problem for problem in view.problems}
    found = []
    for one in doubtful:
        number = f"row {one.name.rpartition('/')[2]}"
        place = one.name[:200]
        if one.experiment_id in unsigned:
            found.append(Problem(number, "not signed by a key of promote.public_keys"))
        elif place in known or (_key_in_name(one) in {view.key, *view.earlier} and number in known):
            found.append(known.get(place) or known[number])
        else:
            found.append(Problem(place, "it may be a changed row of this history"))
    return found


def _gaps(view: View) -> list[Problem]:
    """Return the places before a row of the model where a row is missing."""
    places = {f"row {row.number}" for row in view.rows}
    return [one for one in view.problems if not one.is_skipped and one.place in places]


def _void(view: View) -> list[Problem]:
    """Return the moves that are marked as not carried out: the mark has no digest."""
    reason = "it is marked as not carried out"
    rows = (row for row in view.rows if row.state == "void" and row.decision.kind in MOVES)
    return [Problem(f"row {row.number}", reason, is_skipped=False) for row in rows]

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mlflow.exceptions import MlflowException

from tests.promotion.moves import moved, seen, versions
from tests.promotion.offering import offer
from tests.registry.forged import stored_tags, written
from thaw.promotion.rollback import rollback
from thaw.registry.ledger_rows import Decision, chained, new_row
from thaw.registry.ledger_store import aliases_with_open_rows, ledgers_of_model, read_rows
from thaw.registry.ledger_tags import HIDDEN, row_tags

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.promotion.offered import Shop
    from thaw.registry.ledger import Ledger

Forge = dict[str, str]


def copied(ledger: Ledger, /, **changes: str) -> Forge:
    """Return the tags of row 1 with the state ``open`` and ``changes``."""
    tags = stored_tags(ledger.client, ledger.key, 1)
    named = {f"thaw.{name}": text for name, text in changes.items()}
    return {**tags, "thaw.state": "open", "thaw.kind": "promotion", "thaw.to": "3", **named}


def in_the_old_form(ledger: Ledger) -> Forge:
    tags = copied(ledger)
    new = ("thaw.parent_row", "thaw.row_digest", "thaw.signer", "thaw.signature", "thaw.model")
    return {name: text for name, text in tags.items() if name not in new}


def with_another_parent(ledger: Ledger) -> Forge:
    row = new_row(
        Decision("promotion", 1, 3, 1), ledger=ledger.key, nonce="x", model=ledger.model_created
    )
    return row_tags(chained(row, 2, "f" * 64, None))


def with_the_first_parent(ledger: Ledger) -> Forge:
    row = new_row(
        Decision("promotion", 1, 3, 1), ledger=ledger.key, nonce="x", model=ledger.model_created
    )
    return row_tags(chained(row, 2, "", None))


FORGERIES: dict[str, Callable[[Ledger], Forge]] = {
    "bare name": lambda _: {},
    "copy of a row": copied,
    "old form": in_the_old_form,
    "another parent": with_another_parent,
    "first parent": with_the_first_parent,
    "no kind": lambda ledger: copied(ledger, kind=""),
    "odd kind": lambda ledger: copied(ledger, kind="coup"),
    "odd number": lambda ledger: copied(ledger, to="three"),
    "huge number": lambda ledger: copied(ledger, to="9" * 4000),
    "odd state": lambda ledger: copied(ledger, state="almost"),
    "odd time": lambda ledger: copied(ledger, when="soon"),
    "odd model": lambda ledger: copied(ledger, model_created="-"),
    "another ledger": lambda ledger: copied(ledger, ledger="other/champion"),
    "no nonce": lambda ledger: copied(ledger, nonce=""),
}
SAMPLE = ("bare name", "copy of a row", "old form", "another parent", "odd number")


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=() if k in SAMPLE else pytest.mark.soak) for k in FORGERIES]
)
def test_a_forged_row_moves_no_alias_and_stops_no_command(kind: str, shop: Shop) -> None:
    check_forged(shop, kind)


@pytest.mark.slow
def test_a_forged_row_on_a_server_moves_no_alias_and_stops_no_command(remote: Shop) -> None:
    check_forged(remote, SAMPLE[1])


def check_forged(shop: Shop, kind: str) -> None:
    name = f"forged-{kind.replace(' ', '-')}"
    ledger = versions(shop, name, 3)
    written(shop.client, f"promotion/{name}/champion/2", FORGERIES[kind](ledger))
    before = shop.aliases(name)
    assert seen(shop, name)["champion"].version == 1
    assert shop.aliases(name) == before
    assert [row.number for row in ledger.complete()] == [1]
    assert [p.place for p in ledger.view().problems] in (
        ["row 2"], [f"promotion/{name}/champion/2"]
    )  # fmt: skip
    moved(ledger, 2)
    assert shop.aliases(name)["champion"] == 2
    assert [row.number for row in ledger.rows()] == [1, 3]
    assert rollback(ledger, "").to == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["promotion/{}/champion/99", "elsewhere-{}", "promotion/{}/champion/x"]
)
def test_a_row_that_was_renamed_is_reported_and_its_number_stays_free(
    name: str, local: Shop
) -> None:
    model = f"renamed-row-{len(name)}-{name[0]}"
    ledger = versions(local, model, 3)
    moved(ledger, 2)
    row = ledger.rows()[-1]
    local.client.rename_experiment(row.experiment_id, name.format(model))
    assert [row.number for row in ledger.rows()] == [1]
    (problem,) = ledger.view().problems
    assert problem.place == name.format(model)
    moved(ledger, 3)
    assert [row.number for row in ledger.rows()] == [1, 2]
    assert local.aliases(model)["champion"] == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "tag",
    [
        "thaw.to",
        *(
            pytest.param(tag, marks=pytest.mark.soak)
            for tag in ("thaw.why", "thaw.forced", "thaw.row_digest")
        ),
    ],
)
def test_a_row_whose_tag_was_changed_is_skipped_and_the_next_ones_count(
    tag: str, local: Shop
) -> None:
    name = f"changed-{tag}"
    ledger = versions(local, name, 3)
    moved(ledger, 2)
    moved(ledger, 3)
    row = ledger.rows()[1]
    local.client.set_experiment_tag(row.experiment_id, tag, "1")
    assert [row.decision.to for row in ledger.rows()] == [1, 3]
    places = [problem.place for problem in ledger.view().problems]
    assert places == [f"promotion/{name}/champion/2", "row 3"]
    assert offer(local, name, 2).verdict == "passed"


@pytest.mark.slow
def test_an_open_row_of_something_that_is_no_alias_is_ignored(local: Shop) -> None:
    name = "odd-alias"
    ledger = versions(local, name, 1)
    for place, alias in enumerate(("it's", "a b", "latest", "")):
        tags = copied(ledger, ledger=f"{name}/{alias}")
        written(local.client, f"elsewhere-{name}-{place}", tags)
    assert aliases_with_open_rows(local.client, name) == set()
    assert set(seen(local, name)) == {"champion"}


@pytest.mark.slow
def test_rows_are_hidden_from_the_page_of_experiments_and_a_deleted_row_stops_no_promotion(
    local: Shop,
) -> None:
    ledger = versions(local, "hidden", 3)
    (first,) = ledger.rows()
    local.client.delete_experiment_tag(first.experiment_id, HIDDEN)
    moved(ledger, 2)
    tags = stored_tags(local.client, ledger.key, 1)
    assert tags[HIDDEN] == stored_tags(local.client, ledger.key, 2)[HIDDEN] == "true"
    local.client.delete_experiment_tag(first.experiment_id, HIDDEN)
    local.client.delete_experiment(first.experiment_id)
    moved(ledger, 3)
    assert [row.number for row in ledger.rows()] == [1, 2, 3]
    assert not ledger.view().problems


@pytest.mark.slow
def test_a_row_that_the_user_may_not_change_stops_no_promotion(
    local: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = versions(local, "of-another-user", 2)
    (first,) = ledger.rows()
    ledger.client.delete_experiment_tag(first.experiment_id, HIDDEN)
    set_tag = ledger.client.set_experiment_tag

    def refuse(experiment_id: str, key: str, value: str) -> None:
        if key == HIDDEN:
            raise MlflowException("Permission denied")
        set_tag(experiment_id, key, value)

    monkeypatch.setattr(ledger.client, "set_experiment_tag", refuse)
    moved(ledger, 2)
    assert seen(local, "of-another-user")["champion"].version == 2
    assert HIDDEN not in stored_tags(local.client, ledger.key, 1)


def test_the_ledgers_of_a_model_are_found_by_its_creation_time(local: Shop) -> None:
    ledger = versions(local, "found-again", 1)
    created = ledger.model_created
    assert ledgers_of_model(local.client, created, "champion") == {"found-again/champion"}
    assert ledgers_of_model(local.client, created, "staging") == set()
    assert read_rows(local.client, ledger.key, created).occupied == {
        "promotion/found-again/champion/1"
    }

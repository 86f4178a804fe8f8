from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.fork_server import fork_server
from tests.promotion.interrupted import died_before_the_alias
from tests.promotion.moves import moved, seen, versions
from tests.promotion.offering import examined, offer
from tests.promotion.racer import race
from thaw.promotion import promote as promotion
from thaw.registry.ledger import Ledger
from thaw.registry.ledger_store import aliases_with_open_rows

if TYPE_CHECKING:
    from tests.promotion.offered import Shop
    from thaw.registry.ledger_rows import Decision


@pytest.mark.slow
def test_the_champion_stays_if_the_promoted_version_is_deleted_before_the_move(
    local: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name = "deleted"
    died_before_the_alias(local, name, monkeypatch)
    local.client.delete_model_version(name, "2")
    assert seen(local, name)["champion"].version == 1
    warning = " ".join(capfd.readouterr().err.split())
    assert "version 2 was deleted before it became the champion" in warning
    assert offer(local, name, 3).verdict == "passed"
    assert local.aliases(name) == {"champion": 3, "previous": 1}


@pytest.mark.slow
def test_a_slow_process_does_not_undo_a_later_promotion(
    local: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "sleeper"
    for quality in ("good", "same", "good"):
        local.register(name, quality)
    pair = examined(local, name, 2)
    move = Ledger._move

    def slow(self: Ledger, intent: Decision) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "_move", move)
            if intent.to == 2:
                offer(local, name, 3)  # finds the open row, ends it, goes on
        move(self, intent)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_move", slow)
        promotion.record_result(*pair)
    assert local.aliases(name) == {"champion": 3, "previous": 2}


def raced(shop: Shop, name: str, start: Any, barrier: Any, results: Any) -> None:
    """Three rivals, three rounds; each round has one winner, who is the champion of the next."""
    rounds = [(2, 3, 4), (5, 6, 7), (8, 9, 10)]
    for _ in range(10):
        shop.client.create_model_version(name, source="s3://nowhere/x")
    workers = [
        start(target=race, args=(shop.params.tracking.uri, name, versions, barrier, results))
        for versions in zip(*rounds, strict=True)
    ]
    for worker in workers:
        worker.start()
    ended = [results.get(timeout=300) for _ in range(9)]
    for worker in workers:
        worker.join(30)
    rows = shop.ledger(name).rows()
    assert [row.state for row in rows] == ["done"] * 3
    for number, row in enumerate(rows):
        said = {version: what for place, version, what in ended if place == number}
        winners = [version for version, what in said.items() if what == "won"]
        assert winners == [row.decision.to]
        assert set(said) == set(rounds[number])
        assert set(said.values()) - {"won"} == {
            f"{name}: the champion changed, look again (`thaw status`)"
        }
    assert [row.decision.origin for row in rows] == [None, *(row.decision.to for row in rows[:-1])]
    assert shop.aliases(name)["champion"] == rows[-1].decision.to


@pytest.mark.slow
def test_one_of_several_racing_threads_wins_and_the_others_get_a_conflict(any_shop: Shop) -> None:
    shop = any_shop
    shop.client.create_registered_model("threads")
    raced(shop, "threads", threading.Thread, threading.Barrier(3), queue.Queue())


@pytest.mark.pipelines
def test_one_of_several_racing_processes_wins_and_the_others_get_a_conflict(local: Shop) -> None:
    local.client.create_registered_model("processes")
    context = fork_server()
    raced(local, "processes", context.Process, context.Barrier(3), context.Queue())


def test_an_interrupted_promotion_to_a_new_alias_is_completed(local: Shop) -> None:
    versions(local, "new_one", 2)
    versions(local, "newXone", 2)  # "_" matches any letter in a filter of MLflow's
    for name, alias in (("new_one", "staging"), ("newXone", "canary")):
        new = Ledger(local.client, name, alias)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(new, "_apply", lambda row: None)
            moved(new, 2)
    assert aliases_with_open_rows(local.client, "new_one") == {"staging"}
    assert seen(local, "new_one")["staging"].version == 2
    assert "canary" not in local.aliases("newXone")

from __future__ import annotations

import json
import multiprocessing
from typing import TYPE_CHECKING

import pytest
from mlflow.tracking import MlflowClient

from tests.promotion.racer import race
from thaw.promotion.verification import verify
from thaw.registry.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.colleague import Colleague
    from tests.services.servers import Servers

pytestmark = pytest.mark.services

_ROUNDS = 8
_ROUNDS_OF_VERBS = 2
_NAME = "raced"


def test_of_two_promotions_over_rest_one_wins_and_the_chain_of_decisions_holds(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in servers.variables.items():
        monkeypatch.setenv(name, value)
    client = MlflowClient(servers.mlflow.uri)
    client.create_registered_model(_NAME)
    for _ in range(2 * _ROUNDS):
        client.create_model_version(_NAME, source="s3://nowhere/x")

    outcomes = _raced(servers.mlflow.uri)
    ledger = Ledger(client, _NAME)
    rows = ledger.rows()
    assert [row.state for row in rows] == ["done"] * _ROUNDS
    for number, row in enumerate(rows):
        won = [version for place, version, what in outcomes if place == number and what == "won"]
        assert won == [row.decision.to]
    lost = [what for _, _, what in outcomes if what != "won"]
    assert lost == [f"{_NAME}: the champion changed, look again (`thaw status`)"] * _ROUNDS
    assert [row.decision.origin for row in rows] == [None, *(row.decision.to for row in rows[:-1])]
    assert ledger.current_version() == rows[-1].decision.to
    assert verify(ledger).is_verified


def test_of_two_colleagues_who_promote_at_once_one_is_told_that_the_champion_changed(
    servers: Servers, digits: Colleague, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colleagues = [digits.copied_to(tmp_path / name) for name in ("a", "b")]
    for name, value in servers.variables.items():
        monkeypatch.setenv(name, value)
    client = MlflowClient(servers.mlflow.uri)
    first = client.get_model_version("classifier", "1")
    source = str(first.source)
    versions = [
        client.create_model_version(
            "classifier", source, first.run_id, first.tags, model_id=source.removeprefix("models:/")
        ).version
        for _ in range(2 * _ROUNDS_OF_VERBS)
    ]
    ledger, won = Ledger(client, "classifier"), []
    for number in range(_ROUNDS_OF_VERBS):
        before, pair = ledger.rows(), versions[2 * number : 2 * number + 2]
        promotions = [
            each.start("thaw", "promote", str(version), "--force", "--reason", "a race")
            for each, version in zip(colleagues, pair, strict=True)
        ]
        outputs = [promotion.communicate(timeout=900)[0] for promotion in promotions]
        codes = [promotion.returncode for promotion in promotions]
        assert sorted(codes) == [0, 2], outputs
        assert outputs[codes.index(2)].splitlines()[-1:] == [
            "error: classifier: the champion changed, look again (`thaw status`)"
        ]
        won.append(int(pair[codes.index(0)]))
        rows = ledger.rows()
        assert rows[: len(before)] == before
        (row,) = rows[len(before) :]
        assert (row.state, row.decision.to) == ("done", won[-1])
        assert ledger.current_version() == won[-1]
    assert verify(ledger).is_verified
    report = json.loads(colleagues[0].run("thaw", "status", "--json"))
    versions_of = {each["alias"]: each["version"] for each in report["aliases"]}
    assert versions_of["champion"] == won[-1]


def _raced(uri: str) -> list[tuple[int, int, str]]:
    """Return (round, version, result) of two processes that promote at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    versions = range(1, 2 * _ROUNDS + 1)
    racers = [
        context.Process(target=race, args=(uri, _NAME, tuple(of_one), barrier, results))
        for of_one in (versions[::2], versions[1::2])
    ]
    for racer in racers:
        racer.start()
    outcomes = [results.get(timeout=300) for _ in range(2 * _ROUNDS)]
    for racer in racers:
        racer.join(30)
    return outcomes

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.promotion.offered import Shop
from thaw.errors import ThawError
from thaw.promotion import commands
from thaw.promotion.rollback import rollback
from thaw.promotion.status import AliasStatus, alias_statuses
from thaw.registry.champion_history import champion_stack
from thaw.registry.ledger import Ledger, aliases_with_open_rows
from thaw.registry.ledger_rows import Decision
from thaw.registry.names import gate_tag


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("project")
    return Shop(folder, f"sqlite:///{folder}/mlruns/mlflow.db")


def moved(ledger: Ledger, to: int) -> None:
    """Write the row and the tag of a promotion, without running the gate."""
    rows, standing = ledger.complete(), ledger.current_version()
    ledger.record(Decision("promotion", standing, to, standing, why=f"to {to}"), rows)
    tag = gate_tag("gate", ledger.alias)
    ledger.client.set_model_version_tag(ledger.name, str(to), tag, "passed")


def seen(shop: Shop, name: str) -> dict[str, AliasStatus]:
    return {one.alias: one for one in alias_statuses(shop.client, name)}


def versions(shop: Shop, name: str, count: int) -> Ledger:
    for _ in range(count):
        shop.register(name)
    return shop.ledger(name)


def test_the_first_champion_has_no_gate_result(shop: Shop) -> None:
    versions(shop, "first", 2)
    found = seen(shop, "first")
    assert list(found) == ["champion", "challenger"]
    assert (found["champion"].gate, found["champion"].wrong) == ("first, no gate", False)
    assert (found["challenger"].gate, found["challenger"].wrong) == ("not offered yet", False)
    assert found["champion"].metrics == {"accuracy": 0.9}
    assert found["champion"].run_id
    assert datetime.now(UTC) - found["champion"].created < timedelta(minutes=10)


def test_an_alias_that_was_moved_by_hand_is_marked(shop: Shop) -> None:
    ledger = versions(shop, "hand", 3)
    shop.client.set_registered_model_alias("hand", "champion", "3")
    champion = seen(shop, "hand")["champion"]
    assert champion.wrong
    assert champion.gate == "moved by hand: no gate let it through (not offered yet)"
    moved(ledger, 2)
    assert not seen(shop, "hand")["champion"].wrong
    shop.client.set_registered_model_alias("hand", "champion", "1")
    champion = seen(shop, "hand")["champion"]
    assert champion.wrong
    assert champion.gate.startswith("moved by hand: the last change was to version 2")
    shop.client.set_registered_model_alias("hand", "production", "2")
    production = seen(shop, "hand")["production"]  # the champion's gate is not production's
    assert production.gate == "moved by hand: no gate let it through (not offered yet)"
    assert production.wrong


def test_a_rollback_undoes_a_move_by_hand(shop: Shop) -> None:
    ledger = versions(shop, "undone", 3)
    moved(ledger, 2)
    shop.client.set_registered_model_alias("undone", "champion", "3")
    assert rollback(ledger, "by hand").to == 2
    assert shop.aliases("undone") == {"champion": 2, "previous": 1, "challenger": 3}
    assert not any(one.wrong for one in seen(shop, "undone").values())


def test_a_rollback_to_a_version_does_not_approve_it(shop: Shop) -> None:
    ledger = versions(shop, "landed", 4)
    moved(ledger, 2)
    moved(ledger, 4)
    # as an older version of thaw wrote it
    ledger.record(Decision("rollback", 4, 3, 2), ledger.rows())
    champion = seen(shop, "landed")["champion"]
    assert (champion.version, champion.wrong) == (3, True)
    assert rollback(ledger, "").to == 2


def test_the_status_has_the_time_when_a_version_got_the_alias(shop: Shop) -> None:
    ledger = versions(shop, "since", 3)
    found = seen(shop, "since")
    (first,) = ledger.rows()
    assert found["champion"].since == datetime.fromisoformat(first.when)
    assert found["challenger"].since is None
    moved(ledger, 2)
    found = seen(shop, "since")
    when = datetime.fromisoformat(ledger.rows()[-1].when)
    assert found["champion"].since == found["previous"].since == when
    shop.client.set_registered_model_alias("since", "champion", "3")
    assert seen(shop, "since")["champion"].since is None


def test_an_interrupted_promotion_to_a_new_alias_is_completed(shop: Shop) -> None:
    versions(shop, "new_one", 2)
    versions(shop, "newXone", 2)  # "_" matches any letter in a filter of MLflow's
    for name, alias in (("new_one", "staging"), ("newXone", "canary")):
        new = Ledger(shop.client, name, alias)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(new, "_apply", lambda row: None)
            moved(new, 2)
    assert aliases_with_open_rows(shop.client, "new_one") == {"staging"}
    assert seen(shop, "new_one")["staging"].version == 2
    assert "canary" not in shop.aliases("newXone")


def test_repeated_rollbacks_skip_deleted_versions(shop: Shop) -> None:
    ledger = versions(shop, "back", 4)
    for version in (2, 3, 4):
        moved(ledger, version)
    assert champion_stack(ledger.rows(), ledger.first_by_tag()) == [1, 2, 3, 4]
    assert rollback(ledger, "").to == 3
    assert champion_stack(ledger.rows(), ledger.first_by_tag()) == [1, 2, 3]
    shop.client.delete_model_version("back", "2")
    assert rollback(ledger, "").to == 1
    assert shop.aliases("back") == {"champion": 1}
    with pytest.raises(ThawError, match="there is no previous champion to go back to"):
        rollback(ledger, "")


def test_the_history_shows_deleted_champions_and_new_models(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking, name = shop.params.tracking, "renewed"
    versions(shop, name, 2)
    shop.client.delete_model_version(name, "1")
    commands.status(tracking, name)
    printed = " ".join(capsys.readouterr().out.split())
    assert "renewed has no champion: version 1, the last champion, was deleted, so that" in printed
    shop.client.delete_registered_model(name)
    versions(shop, name, 1)
    assert seen(shop, name)["champion"].gate == "first, no gate"
    commands.history(tracking, name, "champion")
    printed = capsys.readouterr().out
    old, new = printed.split("new model")
    assert "first" in old
    assert "first" in new
    commands.status(tracking, name)
    assert "has no champion" not in capsys.readouterr().out
    shop.client.delete_registered_model(name)
    shop.client.create_registered_model(name)
    commands.history(tracking, name, "champion")
    assert capsys.readouterr().out.count("new model") == 2


def test_a_first_champion_whose_tag_was_deleted_is_known_by_the_history(shop: Shop) -> None:
    versions(shop, "untagged", 1)
    shop.client.delete_model_version_tag("untagged", "1", "gate")
    champion = seen(shop, "untagged")["champion"]
    assert (champion.gate, champion.wrong) == ("first, no gate", False)


def test_each_alias_has_its_own_history(shop: Shop) -> None:
    versions(shop, "aliases", 2)
    staging = type(shop.ledger("aliases"))(shop.client, "aliases", "staging")
    moved(staging, 2)
    moved(staging, 1)
    assert rollback(staging, "").to == 2
    assert len(staging.rows()) == 3
    assert [row.decision.kind for row in shop.ledger("aliases").rows()] == ["first"]
    assert shop.aliases("aliases") == {"champion": 1, "challenger": 2, "staging": 2}


def test_the_commands_print_their_results(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    tracking = shop.params.tracking
    versions(shop, "printed", 2)
    commands.history(tracking, "printed", "staging")
    assert "no version was promoted or refused yet" in capsys.readouterr().out
    commands.history(tracking, "printed", "champion")
    printed = capsys.readouterr().out
    assert "no version was promoted" not in printed
    assert "first" in printed
    moved(shop.ledger("printed"), 2)
    commands.rollback(tracking, "printed", "champion", "why not")
    assert "printed version 1 is the champion again (it was version 2)" in capsys.readouterr().out
    commands.history(tracking, "printed", "champion")
    printed = capsys.readouterr().out
    assert "promotion" in printed
    assert "rollback" in printed
    commands.status(tracking, "printed")
    assert "@champion" in capsys.readouterr().out
    with pytest.raises(ThawError, match="there is no registered model 'missing'"):
        commands.status(tracking, "missing")


def test_a_rollback_imports_no_torch(shop: Shop) -> None:
    code = (
        "import sys, thaw.promotion.tables, thaw.promotion.rollback; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

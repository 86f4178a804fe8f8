from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mlflow.tracking import MlflowClient

from tests.promotion.interrupted import Killed, died_before_the_alias, killed
from tests.promotion.moves import moved, seen, versions
from tests.registry.test_alias_moves import refused

if TYPE_CHECKING:
    from tests.promotion.offered import Shop
    from thaw.registry.ledger import Ledger


def left_open(shop: Shop, name: str, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Register three versions; kill the promotion of the second before its alias is moved."""
    ledger = versions(shop, name, 3)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", killed)
        with pytest.raises(Killed):
            moved(ledger, 2)
    return ledger


def stored_state(ledger: Ledger) -> str:
    """Return the state in the experiment of the newest row."""
    experiment = ledger.client.get_experiment(ledger.rows()[-1].experiment_id)
    return str(experiment.tags["thaw.state"])


@pytest.mark.slow
def test_a_move_that_another_account_made_is_not_made_again_after_a_move_by_hand(
    local: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = left_open(local, "once", monkeypatch)
    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refused)  # may edit the model only
    assert seen(local, "once")["champion"].version == 2
    assert (stored_state(ledger), ledger.rows()[-1].state) == ("open", "done")
    local.client.set_registered_model_alias("once", "champion", "3")
    assert seen(local, "once")["champion"].version == 3
    assert seen(local, "once")["champion"].moved_by_hand


@pytest.mark.slow
def test_the_deleted_version_of_a_row_of_another_account_is_reported_once(
    local: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ledger = left_open(local, "gone", monkeypatch)
    local.client.delete_model_version("gone", "2")
    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refused)
    capfd.readouterr()
    assert seen(local, "gone")["champion"].version == 1
    assert "version 2 was deleted" in " ".join(capfd.readouterr().err.split())
    assert ledger.rows()[-1].state == "void"
    assert seen(local, "gone")["champion"].version == 1
    assert "deleted" not in capfd.readouterr().err
    moved(ledger, 3)
    assert seen(local, "gone")["champion"].version == 3


@pytest.mark.slow
def test_a_deleted_version_stops_no_account_that_may_only_read(
    local: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    died_before_the_alias(local, "reader-gone", monkeypatch)
    local.client.delete_model_version("reader-gone", "2")
    for write in ("set_experiment_tag", "set_registered_model_tag", "set_registered_model_alias"):
        monkeypatch.setattr(MlflowClient, write, refused)
    capfd.readouterr()
    for _ in range(2):
        assert seen(local, "reader-gone")["champion"].version == 1
        assert "version 2 was deleted" in " ".join(capfd.readouterr().err.split())
    assert local.ledger("reader-gone").complete()[-1].state == "void"


@pytest.mark.slow
def test_a_tag_of_the_model_ends_no_row_that_is_done(local: Shop) -> None:
    ledger = versions(local, "forged-end", 2)
    moved(ledger, 2)
    row = ledger.rows()[-1]
    local.client.set_registered_model_tag(
        "forged-end", f"thaw.ended_row.{row.experiment_id}", "void"
    )
    assert ledger.rows()[-1].state == "done"


def test_a_tag_with_another_text_is_no_end(local: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = left_open(local, "odd-end", monkeypatch)
    tag = f"thaw.ended_row.{ledger.rows()[-1].experiment_id}"
    local.client.set_registered_model_tag("odd-end", tag, "finished")
    assert ledger.rows()[-1].state == "open"

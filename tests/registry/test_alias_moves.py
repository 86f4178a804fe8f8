from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.tracking import MlflowClient

from tests.promotion.interrupted import Killed, killed
from tests.promotion.moves import moved, seen, versions
from thaw.promotion.rollback import rollback
from thaw.registry.alias_moves import RefusedMoveError

if TYPE_CHECKING:
    from tests.promotion.offered import Shop


def refused(*_: object, **__: object) -> Any:
    """Replace a write to the store that the account has no permission for."""
    raise MlflowException("403", error_code=PERMISSION_DENIED)


@pytest.mark.slow
def test_a_refused_decision_is_void_and_no_other_account_carries_it_out(
    local: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = versions(local, "reader", 2)
    moved(ledger, 2)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", refused)
        with pytest.raises(RefusedMoveError, match="champion was not moved"):
            rollback(ledger, "not allowed to")
    assert seen(local, "reader")["champion"].version == 2  # an account that may move it looks
    assert ledger.rows()[-1].state == "void"


def test_an_account_that_may_not_remove_aliases_moves_the_champion_and_is_warned(
    local: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ledger = versions(local, "editor", 2)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "delete_registered_model_alias", refused)
        moved(ledger, 2)
    assert "@challenger was not removed" in capfd.readouterr().err
    assert ledger.rows()[-1].state == "done"
    assert local.aliases("editor") == {"champion": 2, "previous": 1, "challenger": 2}


@pytest.mark.slow
def test_the_open_row_of_another_account_does_not_stop_readers_and_editors(
    local: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ledger = versions(local, "team", 3)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", killed)
        with pytest.raises(Killed):
            moved(ledger, 2)
    with monkeypatch.context() as patch:  # an account that may read
        patch.setattr(MlflowClient, "set_registered_model_alias", refused)
        assert seen(local, "team")["champion"].version == 1
        warning = " ".join(capfd.readouterr().err.split())
        assert "row 2 of the history makes version 2 the champion" in warning
    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refused)  # one that may edit the model
    assert seen(local, "team")["champion"].version == 2
    assert ledger.rows()[-1].state == "done"  # by a tag of the model
    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", refused)
    assert seen(local, "team")["champion"].version == 2  # nothing is written again
    assert not capfd.readouterr().err

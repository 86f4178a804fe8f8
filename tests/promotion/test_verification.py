from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from tests.promotion.moves import moved, versions
from tests.registry.forged import written
from thaw.cli import app as cli
from thaw.errors import ThawError
from thaw.promotion.rollback import rollback
from thaw.promotion.verification import how_verified, sign, verify
from thaw.registry.ledger import Ledger
from thaw.registry.signing import KEY_FILE, create_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.promotion.offered import Shop


def command(shop: Shop, *arguments: str) -> Any:
    with contextlib.chdir(shop.folder):
        return CliRunner().invoke(cli.app, list(arguments))


@pytest.mark.slow
def test_a_history_of_the_tool_verifies_and_nothing_is_written(local: Shop) -> None:
    ledger = versions(local, "verified", 2)
    moved(ledger, 2)
    found = verify(ledger)
    assert found.is_verified
    assert found.head == found.rows[-1].digest
    assert [how_verified(row, ()) for row in found.rows] == ["in the chain"] * 2
    done = command(local, "history", "--verify", "--model", "verified")
    assert done.exit_code == 0
    assert f"verified/champion: 2 rows, verified; head {found.head}" in done.output


@pytest.mark.slow
def test_a_forged_row_fails_the_verification_and_is_named(local: Shop) -> None:
    versions(local, "tampered", 2)
    written(local.client, "promotion/tampered/champion/2", {})
    done = command(local, "history", "--verify", "--model", "tampered")
    assert done.exit_code == 1
    assert "WRONG promotion/tampered/champion/2: it has the name of a row" in done.output
    assert "NOT verified" in done.output
    done = command(local, "history", "--verify", "--json", "--model", "tampered")
    assert done.exit_code == 1
    content = json.loads(done.output)
    assert not content["verified"]
    assert content["problems"][0]["place"] == "promotion/tampered/champion/2"
    assert content["rows"][0]["from"] is None
    assert command(local, "history", "--json", "--model", "tampered").exit_code == 0
    status = command(local, "status", "--model", "tampered")
    assert status.exit_code == 0
    assert "history of tampered/champion: promotion/tampered/champion/2" in status.stderr


@pytest.mark.slow
def test_signed_decisions_count_and_others_do_not(
    local: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "signed"
    signer = create_key(tmp_path / "key")
    versions(local, name, 3)
    ledger = Ledger(local.client, name, trusted=[signer.public])
    with pytest.raises(ThawError, match="this process has no key: set THAW_LEDGER_KEY_FILE"):
        moved(ledger, 2)
    assert [row.number for row in verify(ledger).unsigned] == [1]
    assert not verify(ledger).is_verified
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "key"))
    assert sign(ledger).decision.why == "takes over the rows 1, which were not signed"
    with pytest.raises(ThawError, match="there is no row to sign"):
        sign(ledger)
    moved(ledger, 2)
    assert verify(ledger).is_verified
    how = [how_verified(row, ledger.trusted) for row in verify(ledger).rows]
    assert how == ["in the chain, taken over", *[f"signed by {signer.public[:16]}..."] * 2]
    monkeypatch.delenv(KEY_FILE)
    moved(local.ledger(name), 3)  # by someone without the key
    assert [row.number for row in verify(ledger).unsigned] == [4]
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "key"))
    assert rollback(ledger, "").to == 2  # for the key holders, the alias was moved by hand
    create_key(tmp_path / "other")
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "other"))
    with pytest.raises(ThawError, match=r"is not one of promote\.public_keys: add it there"):
        moved(ledger, 3)


def test_without_keys_there_is_nothing_to_sign(local: Shop) -> None:
    with pytest.raises(ThawError, match="`thaw signing-key FILE` makes one"):
        sign(versions(local, "keyless", 1))


@pytest.mark.slow
@pytest.mark.usefixtures("tuned")
def test_the_public_keys_of_the_project_reach_every_verb(
    local: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "with-keys"
    versions(local, name, 2)
    inside = command(local, "signing-key", "key.pem")
    assert "outside of the project" in str(inside.exception)
    assert not (local.folder / "key.pem").exists()
    made = command(local, "signing-key", str(tmp_path / "key"))
    assert made.exit_code == 0
    public = create_key(tmp_path / "second").public
    keyed = local.rules(public_keys=[public])
    params = local.folder / "params.yaml"
    before = params.read_text()
    params.write_text(keyed.model_dump_json())
    try:
        for verb in (["promote"], ["rollback"]):
            done = command(local, *verb, "--model", name)
            assert isinstance(done.exception, ThawError), done.output
        assert command(local, "history", "--verify", "--model", name).exit_code == 1
        assert "and not counted" in command(local, "status", "--model", name).stderr
        monkeypatch.setenv(KEY_FILE, str(tmp_path / "second"))
        signed = command(local, "history", "--sign", "--verify", "--model", name)
        assert signed.exit_code == 0, signed.output
        assert command(local, "promote", "--model", name).exit_code == 0
        assert command(local, "rollback", "--model", name).exit_code == 0
        assert command(local, "history", "--verify", "--model", name).exit_code == 0
    finally:
        params.write_text(before)

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from tests.promotion.interrupted import died_before_the_alias
from tests.promotion.moves import moved, seen, versions
from tests.promotion.offering import kinds, offer
from tests.promotion.shop_fixtures import local
from tests.promotion.test_gate_report import reported
from tests.store_fixtures import _mlflow_as_it_was
from tests.tracking.test_result_run import CAN_MOUNT
from thaw.cli import app as cli
from thaw.cli import registry_commands as commands
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.promotion.promote import PromotionRequest
from thaw.promotion.rollback import rollback
from thaw.registry.artifact_files import file_of_run
from thaw.registry.names import GATE
from thaw.tracking.result_run import MAIN_ARTIFACT

if TYPE_CHECKING:
    from tests.promotion.offered import Shop

__all__ = ["_mlflow_as_it_was", "local"]  # fixtures


@pytest.mark.parametrize(
    ("name", "alias", "against", "expected"),
    [
        ("a", "champion", 2, "; `thaw rollback --model a` goes back"),
        ("my model", "champion", 2, "; `thaw rollback --model 'my model'` goes back"),
        ("a", "staging", 2, "; `thaw rollback --model a --alias staging` goes back"),
        ("a", "staging", None, ""),
    ],
)
def test_the_way_back_from_a_promotion_is_that_of_its_model_and_alias(
    name: str,
    alias: str,
    against: int | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = replace(reported(), name=name, alias=alias, against=against, rules=[])
    monkeypatch.setattr("thaw.promotion.promote.promote", lambda *_: report)
    monkeypatch.setattr(commands, "_update_pages", lambda *_: None)
    request = PromotionRequest(name, alias)
    assert commands.promote(Params(), Path("data/prepared"), request)
    assert capsys.readouterr().out.splitlines()[-1] == f"{name} version 2 is the {alias}{expected}"


@pytest.mark.slow
@pytest.mark.usefixtures("tuned")
def test_the_exit_code_of_promote_is_one_after_a_refusal(local: Shop) -> None:
    name = "codes"
    for quality in ("good", "bad", "same"):
        number = local.register(name, quality)
        run_id = str(local.client.get_model_version(name, str(number)).run_id)
        local.client.log_text(run_id, '<p class="release">as registered</p>', MAIN_ARTIFACT)

    def box(version: int) -> str:
        run_id = str(local.client.get_model_version(name, str(version)).run_id)
        return (file_of_run(local.client, run_id, MAIN_ARTIFACT) or b"").decode()

    with contextlib.chdir(local.folder):
        run = CliRunner().invoke
        assert run(cli.app, ["promote", "2", "--model", name, "--dry-run"]).exit_code == 1
        assert "as registered" in box(2)
        refused = run(cli.app, ["promote", "2", "--model", name])
        assert refused.exit_code == 1
        assert "FAIL" in refused.output
        assert "<strong>Refused</strong>" in box(2)
        assert isinstance(run(cli.app, ["promote", "9", "--model", name]).exception, ThawError)
        assert run(cli.app, ["promote", "--model", name]).exit_code == 0
        assert local.aliases(name) == {"champion": 3, "previous": 1}
        assert "Promoted on" in box(3)
        assert "<strong>Replaced</strong>" in box(1)
        assert run(cli.app, ["rollback", "--model", name]).exit_code == 0
        assert "<strong>Rolled back</strong>" in box(3)
        assert "<strong>Released as champion</strong>" in box(1)
        for verb in ("status", "history"):
            assert run(cli.app, [verb, "--model", name]).exit_code == 0
        assert run(cli.app, ["copy", f"models:/{name}@champion", "codes2"]).exit_code == 0
    assert local.aliases("codes2") == {"challenger": 1}


@pytest.mark.slow
@pytest.mark.skipif(not CAN_MOUNT, reason="this machine gives no mount namespaces")
def test_status_and_history_need_no_right_to_write(local: Shop) -> None:
    local.register("shown", "good")
    in_read_only = 'mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" && exec "$@"'
    for verb in ("status", "history"):
        thaw = [sys.executable, "-m", "thaw.cli", verb, "--model", "shown"]
        done = subprocess.run(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", in_read_only, "sh", *thaw],
            cwd=local.folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert "first" in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("tuned")
def test_a_dry_run_tells_what_the_gate_says_and_changes_nothing(local: Shop) -> None:
    name = "dry"
    for quality in ("good", "bad", "same"):
        local.register(name, quality)
    before = local.client.get_model_version(name, "3").tags
    with contextlib.chdir(local.folder):
        run = CliRunner().invoke
        command = ["promote", "--model", name, "--dry-run"]
        assert run(cli.app, [*command, "2"]).exit_code == 1
        passed = run(cli.app, [*command, "3"])
        assert passed.exit_code == 0
        assert "\npassed all " in passed.output
        shown = run(cli.app, [*command, "2", "--json"])
        assert shown.exit_code == 1
        refused = json.loads(shown.stdout)
        assert (refused["verdict"], refused["version"], refused["against"]) == ("refused", 2, 1)
        assert any(not rule["passed"] for rule in refused["rules"])
        assert "dry run: nothing is recorded, and no alias moves" in passed.output
        forced = run(cli.app, [*command, "2", "--force", "--reason", "why"])
        assert "leave one out" in str(forced.exception)
    assert local.aliases(name) == {"champion": 1, "challenger": 3}
    assert kinds(local, name) == ["first"]
    assert local.client.get_model_version(name, "3").tags == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "promote",
        "status",
        *(pytest.param(c, marks=pytest.mark.soak) for c in ("rollback", "history")),
    ],
)
def test_the_next_command_completes_an_interrupted_promotion(
    local: Shop, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"repaired-by-{command}"
    died_before_the_alias(local, name, monkeypatch)
    assert local.aliases(name)["champion"] == 1
    if command == "promote":
        offer(local, name, 3)
        expected = {"champion": 3, "previous": 2}
    elif command == "rollback":
        rollback(local.ledger(name), "")
        expected = {"champion": 1, "challenger": 3}
    else:
        if command == "status":
            commands.status(local.params.tracking, name)
        else:
            commands.history(local.params.tracking, name, "champion")
        expected = {"champion": 2, "previous": 1, "challenger": 3}
    assert local.aliases(name) == expected


@pytest.mark.slow
def test_the_history_shows_deleted_champions_and_new_models(
    local: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking, name = local.params.tracking, "renewed"
    versions(local, name, 2)
    local.client.delete_model_version(name, "1")
    commands.status(tracking, name)
    printed = " ".join(capsys.readouterr().out.split())
    assert "renewed has no champion: version 1, the last champion, was deleted, so that" in printed
    local.client.delete_registered_model(name)
    versions(local, name, 1)
    assert seen(local, name)["champion"].gate == "first, no gate"
    commands.history(tracking, name, "champion")
    printed = capsys.readouterr().out
    old, new = printed.split("new model")
    assert "first" in old
    assert "first" in new
    commands.status(tracking, name)
    assert "has no champion" not in capsys.readouterr().out
    local.client.delete_registered_model(name)
    local.client.create_registered_model(name)
    commands.history(tracking, name, "champion")
    assert capsys.readouterr().out.count("new model") == 2


@pytest.mark.slow
def test_the_commands_print_their_results(local: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    tracking = local.params.tracking
    versions(local, "printed", 2)
    commands.history(tracking, "printed", "staging")
    assert "printed @staging: no version was promoted or refused yet" in capsys.readouterr().out
    commands.history(tracking, "printed", "champion")
    printed = capsys.readouterr().out
    assert "no version was promoted" not in printed
    assert "first" in printed
    moved(local.ledger("printed"), 2)
    commands.rollback(tracking, "printed", "champion", "why not")
    assert "printed version 1 is the champion again (it was version 2)" in capsys.readouterr().out
    commands.history(tracking, "printed", "champion")
    printed = capsys.readouterr().out
    assert "promotion" in printed
    assert "rollback" in printed
    commands.status(tracking, "printed")
    assert "@champion" in capsys.readouterr().out
    commands.status(tracking, "printed", as_json=True)
    found = json.loads(capsys.readouterr().out)
    (champion,) = (each for each in found["aliases"] if each["alias"] == "champion")
    assert champion["version"] == 1
    assert champion["gate"] == "first, no gate"
    since, created = (datetime.fromisoformat(champion[key]) for key in ("since", "created"))
    assert since >= created.replace(microsecond=0)  # rows of the history have whole seconds
    assert found["no_champion"] is None
    assert found["model"] == "printed"
    with pytest.raises(ThawError, match="there is no registered model 'missing'"):
        commands.status(tracking, "missing")


@pytest.mark.slow
def test_texts_of_the_store_cannot_write_lines_or_escapes_to_the_terminal(
    local: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking, name, forged = local.params.tracking, "shown", "\x1b[2J\n* @champion: passed\u202e"
    versions(local, name, 1)
    local.client.set_model_version_tag(name, "1", GATE, f"forced: why {forged}")
    local.client.create_experiment(f"promotion/{name}/champion/{forged}")
    commands.status(tracking, name)
    commands.history(tracking, name, "champion")
    assert not commands.verify_history(tracking, name, "champion", (), as_json=False)
    out, err = capsys.readouterr()
    escaped = r"\x1b[2J\n* @champion: passed\u202e"
    assert f"* @champion: forced: why {escaped}" in out
    assert f"WRONG promotion/{name}/champion/{escaped}" in out
    assert f"promotion/{name}/champion/{escaped}" in err
    assert not {"\x1b", "\u202e"} & {*out, *err}
    assert "\n* @champion: passed" not in out + err

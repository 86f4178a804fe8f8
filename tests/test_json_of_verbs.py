"""Every verb that has a result prints one JSON document for `--json`, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import typer

from tests import tiny
from tests.project import Project
from tests.serving.hub_stub import hub
from tests.stage_runs import run_stages
from thaw.cli.app import app
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

MODEL = "models:/classifier@champion"
PACKAGED = "timm/tf_efficientnet_lite0=packaged"
# (the command, keys of its result); the commands run in this order in one project.
COMMANDS = (
    ("init ../new --images data/raw", "project is_committed next public_set images"),
    ("check", "file model unreadable_entries"),
    ("params", "key value default range unit meaning source"),
    ("params unfreeze.lr", "key value default range unit meaning source"),
    ("params --schema", "$schema"),
    ("backbones lenet5", "name weights image_size blocks parameters"),
    ("backbones lenet5 --names", ""),
    ("doctor", "subject state text remedy"),
    ("upgrade --dry-run", "is_written converted renamed runs_again kept not_kept removable"),
    ("upgrade", "is_written converted renamed runs_again kept not_kept removable"),
    ("probe", "block_probes joint_probes picture"),
    ("find-lr warmup_head", "phase present steepest tenth picture"),
    ("advise", "values changed"),
    ("advise --apply", "values changed"),
    ("search --trials 1", "study metrics counts trials winner notes"),
    ("search --show", "study metrics counts trials winner notes"),
    ("search --apply", "study trial values changed"),
    ("report", "prepare warmup_head unfreeze fold_bn evaluate registered page"),
    ("report --compare 1 2", "names metrics answers"),
    ("promote 2 --dry-run", "verdict summary rules"),
    ("promote 2 --force --reason why", "verdict summary rules"),
    ("status", "model aliases no_champion"),
    ("rollback --reason why", "model alias from to reason"),
    ("history", "ledger verified head rows unsigned problems"),
    ("history --verify", "ledger verified head rows unsigned problems"),
    (f"copy {MODEL} other", "source name version alias"),
    ("signing-key ../key", "private_key public_key variable"),
    (f"predict {MODEL} data/raw", "file model computed done_before unreadable drift"),
    (f"export {MODEL} --format torch-export --out ../x.pt2", "file format bytes milliseconds"),
    (f"push-to-hub {MODEL} owner/name", "repository address has_timm_weights"),
    ("repair", "intact restored cached lost moved store delivered_stages"),
    # The last ones: with a larger network, all others would take longer.
    (f"advise --backbones {PACKAGED}", "backbones not_compared changed"),
    (f"advise --backbones {PACKAGED} --apply", "backbones not_compared changed"),
)  # fmt: skip
WITHOUT = {
    "stage": "DVC runs it; `thaw report --json` has the results of all stages",
    "serve": "a server",
    "ui": "a server",
}
REFUSED = {"promote 2 --dry-run", "doctor"}  # 1 is an answer, too


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two versions of a small model."""
    made = Project(tmp_path_factory.mktemp("verbs") / "project")
    tiny.set_up(made)
    made.set(
        search__space={"warmup_head.lr": [0.002, 0.01]},
        search__confirm_seeds=1,
    )
    run_stages(made.folder, *STAGES)
    made.set(unfreeze__epochs=2)
    run_stages(made.folder, *STAGES[2:])
    return made


@pytest.fixture(scope="module")
def hub_address() -> Iterator[str]:
    with hub() as state:
        yield state.address


@pytest.mark.parametrize(("command", "keys"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_verb_prints_one_json_document(  # noqa: PLR0913
    command: str,
    keys: str,
    project: Project,
    hub_address: str,
    tuned: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub_address)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    code = app([*command.split(), "--json"], standalone_mode=False)
    printed = capfd.readouterr().out
    assert code in ({0, 1, None} if command in REFUSED else {0, None}), printed
    found = first(json.loads(printed))
    assert set(keys.split()) <= found.keys(), found.keys()
    assert "\x1b" not in printed


def first(content: Any) -> dict[str, Any]:
    """Return an object: the document itself, or the first of a list of objects."""
    if isinstance(content, list):
        assert content
        return content[0] if isinstance(content[0], dict) else {}
    assert isinstance(content, dict)
    return content


def test_every_verb_has_the_option_or_a_reason_to_have_none() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {
        name: {option for each in command.params for option in each.opts}
        for name, command in commands.items()
    }
    assert {name for name, found in options.items() if "--json" not in found} == WITHOUT.keys()
    tried = {command.split()[0] for command, _ in COMMANDS}
    assert tried == options.keys() - WITHOUT.keys()


def test_images_without_a_row_are_in_the_document_and_in_the_error(
    project: Project,
    tmp_path: Path,
    tuned: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from thaw.errors import ProblemsError

    images = tiny.images(tmp_path / "photos", each=2)
    (images / "red" / "page.png").write_text("<html>")
    monkeypatch.chdir(project.folder)
    out = tmp_path / "out.csv"
    with pytest.raises(ProblemsError, match=r"page\.png"):
        app(["predict", MODEL, str(images), "--out", str(out), "--json"], standalone_mode=False)
    found = json.loads(capfd.readouterr().out)
    assert (found["file"], found["computed"]) == (str(out), 6)
    assert list(found["unreadable"]) == ["red/page.png"]

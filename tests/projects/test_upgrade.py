from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import chdir
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from dvc.lock import Lock
from ruamel.yaml import YAML

from tests.cli.verbs import run
from tests.forked_dvc import completed_dvc, run_dvc
from tests.formats.clone import unpack_clone
from tests.kill_at_write import Killer
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.projects import kept_outputs
from thaw.projects.creation import create_project, template
from thaw.projects.upgrade import apply_upgrade, plan_upgrade
from thaw.system import tool_lock
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from pathlib import Path

OTHER = "0" * 64


@pytest.fixture(autouse=True)
def _dvc_in_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an upgrade run DVC in forks; the project of the fixture `kept` has a new process."""
    monkeypatch.setattr(kept_outputs, "completed_dvc", completed_dvc)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project of thaw 0.1, which is entered."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = unpack_clone(tmp_path / "clone")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project of thaw 0.1 that was upgraded and kept its outputs."""
    folder = unpack_clone(tmp_path_factory.mktemp("upgraded") / "clone")
    with chdir(folder):
        run("upgrade", "--keep")
    return folder


@pytest.fixture
def upgraded(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of ``kept``, which is entered."""
    folder = shutil.copytree(kept, tmp_path / "upgraded", symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a new project, which is entered."""
    create_project(tmp_path / "flowers", None)
    monkeypatch.chdir(tmp_path / "flowers")
    return tmp_path / "flowers"


def files(folder: Path) -> dict[Path, bytes]:
    """Return the content of all files of a project, except for those of git and DVC."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not {".git", ".dvc"} & set(path.relative_to(folder).parts)
    }


@pytest.mark.slow
def test_a_dry_run_writes_nothing_and_names_every_change(clone: Path) -> None:
    before = files(clone)
    output = run("upgrade", "--dry-run")
    assert files(clone) == before
    assert "converted: params.yaml, dvc.yaml" in output
    assert "renamed in params.yaml: launch.cache_gb -> resources.cache_gb" in output
    assert "prepare, warmup_head, unfreeze, fold_bn, evaluate" in output
    assert "you can remove: src/thaw" in output


@pytest.mark.pipelines
def test_a_clone_gets_the_pipeline_of_all_projects_and_keeps_its_parameters(kept: Path) -> None:
    assert (kept / "dvc.yaml").read_text() == template("dvc.yaml.template")
    old = load(Params, unpack_clone(kept.parent / "old") / "params.yaml")
    assert load(Params, kept / "params.yaml") == old
    assert "a process a device" in (kept / "params.yaml").read_text()  # a comment
    assert (kept / "src/thaw/__init__.py").exists()


@pytest.mark.pipelines
def test_after_keep_no_stage_runs_again(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kept)
    before = files(kept)
    assert json.loads(run_dvc("status", "--json")) == {}
    assert "Running stage" not in run_dvc("repro")
    assert files(kept) == before


@pytest.mark.pipelines
def test_a_new_form_of_dvc_yaml_alone_runs_no_stage(upgraded: Path) -> None:
    before = files(upgraded)
    with_folders(upgraded)
    assert json.loads(run_dvc("status", "--json")) == {}
    output = run("upgrade")
    assert "converted: dvc.yaml, data/prepared/images.raw, data/prepared/pack.json" in output
    assert "no stage runs again" in output
    assert files(upgraded) == before
    assert json.loads(run_dvc("status", "--json")) == {}
    assert "Running stage" not in run_dvc("repro")


@pytest.mark.pipelines
def test_reports_that_git_kept_as_metrics_are_accepted_by_dvc(upgraded: Path) -> None:
    with_tracked_reports(upgraded)
    assert json.loads(run_dvc("status", "--json")) == {}
    run("upgrade")
    assert json.loads(run_dvc("status", "--json")) == {}
    assert "Running stage" not in run_dvc("repro")
    report = "reports/unfreeze/report.json"
    tracked = subprocess.run(["git", "ls-files", report], check=True, capture_output=True)
    assert not tracked.stdout
    assert (upgraded / report).exists()


def with_tracked_reports(project: Path) -> None:
    """Give a project the metrics that earlier versions had, in the index of git."""
    yaml = YAML()
    content = yaml.load(project / "dvc.yaml")
    for name in ("warmup_head", "unfreeze", "fold_bn"):
        stage, report = content["stages"][name], f"reports/{name}/report.json"
        stage["outs"].remove(report)
        stage["metrics"] = [{report: {"cache": False}}]
        ignored = project / "reports" / name / ".gitignore"
        ignored.write_text(ignored.read_text().replace("/report.json\n", ""))
    content["stages"]["evaluate"]["outs"].remove("reports/evaluate/report.json")
    yaml.dump(content, project / "dvc.yaml")
    subprocess.run(["git", "add", "reports"], check=True)
    run_dvc("commit", "--force")
    (project / "reports/evaluate/report.json").unlink()


def with_folders(project: Path) -> None:
    """Give a project the outputs that earlier versions had: folders, another name of the images."""
    yaml = YAML()
    content = yaml.load(project / "dvc.yaml")
    for stage in content["stages"].values():
        for key in ("deps", "outs"):
            paths = dict.fromkeys(folder_of(path) for path in stage[key])
            stage[key] = list(paths)
    yaml.dump(content, project / "dvc.yaml")
    pack = project / "data/prepared/pack.json"
    settings = json.loads(pack.read_text())
    (project / "data/prepared/images.bin").rename(
        project / f"data/prepared/images.{settings.pop('encoding')}"
    )
    pack.write_text(json.dumps(settings))
    run_dvc("commit", "--force")


def folder_of(path: str) -> str:
    """Return the folder that was listed instead of the file ``path``."""
    if path.startswith("data/prepared/"):
        return "data/prepared"
    return "/".join(path.split("/")[:2]) if path.startswith("models/") else path


@pytest.mark.pipelines
def test_after_keep_the_lock_names_what_made_the_outputs(kept: Path) -> None:
    lock = tool_lock.read(kept / "thaw.lock")
    assert lock is not None
    assert lock.stages == tool_lock.installed().stages
    assert {stage: made["thaw"] for stage, made in lock.kept.items()} == dict.fromkeys(
        STAGES, "0.1.0"
    )


@pytest.mark.pipelines
def test_after_keep_status_history_and_the_study_are_as_before(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(kept)
    status = run("status")
    assert "champion" in status
    assert "challenger" in status or "previous" in status
    assert "champion" in run("history")
    assert "2 trials: 2 complete" in run("search", "--show")


@pytest.mark.pipelines
def test_without_keep_the_outputs_are_made_again(clone: Path) -> None:
    run("upgrade")
    status = json.loads(run_dvc("status", "--json"))
    assert set(status) == set(STAGES)
    lock = tool_lock.read()
    assert lock is not None
    assert not lock.kept


@pytest.mark.slow
def test_a_stage_whose_parameters_have_changed_is_not_kept(clone: Path) -> None:
    path = clone / "params.yaml"
    content = path.read_text()
    path.write_text(content.replace("patience: 5", "patience: 6"))
    plan = plan_upgrade(keep=True)
    assert plan.kept == ["prepare", "evaluate"]
    assert plan.not_kept["unfreeze"] == "params.yaml: unfreeze (modified)"


@pytest.mark.pipelines
def test_without_dvc_yaml_the_stages_whose_parameters_have_changed_run_again(
    upgraded: Path,
) -> None:
    path = upgraded / "params.yaml"
    path.write_text(path.read_text().replace("patience: 5", "patience: 6"))
    (upgraded / "dvc.yaml").unlink()
    run("upgrade")
    assert set(json.loads(run_dvc("status", "--json"))) == {"warmup_head", "unfreeze", "fold_bn"}


@pytest.mark.pipelines
def test_an_import_of_the_user_whose_repository_does_not_answer_changes_nothing(
    clone: Path,
) -> None:
    (clone / "words.txt").write_text("a")
    run_dvc("add", "words.txt")
    source = {"url": "http://127.0.0.1:9/none.git", "rev_lock": "a" * 40}
    content = YAML().load(clone / "words.txt.dvc")
    content["deps"] = [{"path": "words.txt", "repo": source}]
    YAML().dump(content, clone / "words.txt.dvc")
    assert plan_upgrade(keep=True).kept == [*STAGES]


@pytest.mark.pipelines
def test_a_failure_of_dvc_at_the_end_names_the_command_that_keeps_the_outputs(
    upgraded: Path,
) -> None:
    with_folders(upgraded)
    plan = plan_upgrade()
    lock = Lock(".dvc/tmp/lock")
    lock.lock()
    with pytest.raises(ThawError, match=r"`dvc commit --force --quiet prepare warmup") as raised:
        apply_upgrade(plan)
    lock.unlock()
    command = re.findall(r"`dvc ([^`]*)` keeps", str(raised.value))[0]
    run_dvc(*command.split())
    assert json.loads(run_dvc("status", "--json")) == {}


@pytest.mark.pipelines
def test_files_of_the_user_in_outputs_survive_the_upgrade_and_the_next_run(clone: Path) -> None:
    mine = [clone / name for name in ("models/unfreeze/my.pth", "data/prepared/mine/a.png")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("of the user")
    run("upgrade")
    run_dvc("remove", "--outs", "unfreeze")  # as before a run
    assert not (clone / "models/unfreeze/model.json").exists()
    assert [path.read_text() for path in mine] == ["of the user"] * 2


@pytest.mark.slow
def test_a_stage_whose_outputs_have_changed_is_not_kept(clone: Path) -> None:
    (clone / "models/unfreeze/model.json").write_text("{}")
    plan = plan_upgrade(keep=True)
    assert "models/unfreeze (modified)" in plan.not_kept["unfreeze"]
    assert "models/unfreeze (modified)" in plan.not_kept["fold_bn"]  # it reads the model
    assert plan.kept == ["prepare", "warmup_head", "evaluate"]


@pytest.mark.slow
def test_stages_that_the_user_has_added_stay(project: Path) -> None:
    own = "\n  mine:\n    cmd: echo a\n"
    path = project / "dvc.yaml"
    path.write_text(path.read_text().replace("\nplots:", f"{own}\nplots:"))
    path.write_text(path.read_text().replace("artifacts: {", "artifacts: {mine: {path: a.bin}, "))
    path.write_text(path.read_text().replace("exec thaw stage prepare", "thaw stage prepare"))
    apply_upgrade(plan_upgrade())
    text = path.read_text()
    assert "cmd: echo a" in text
    assert "a.bin" in text
    assert "exec thaw stage prepare" in text
    assert not plan_upgrade().texts


@pytest.mark.slow
def test_an_upgrade_of_a_project_lists_exactly_the_stages_with_other_code(project: Path) -> None:
    lock = tool_lock.installed()
    tool_lock.write(replace(lock, stages={**lock.stages, "fold_bn": OTHER}))
    plan = plan_upgrade()
    assert plan.changed == ["fold_bn"]
    assert not plan.texts
    assert not plan.removable
    apply_upgrade(plan)
    assert tool_lock.read() == lock
    assert not plan_upgrade().changed


@pytest.mark.slow
def test_a_pipeline_file_that_is_damaged_is_refused(project: Path) -> None:
    (project / "dvc.yaml").write_text("- a")
    with pytest.raises(ThawError, match=r"dvc.yaml is not a pipeline of DVC"):
        plan_upgrade()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_project_that_cannot_be_written_is_one_line(clone: Path) -> None:
    clone.chmod(0o500)
    with pytest.raises(ThawError, match="could not write"):
        apply_upgrade(plan_upgrade())


def upgrade_is_killed(number: int, *arguments: str) -> bool:
    """Upgrade in a fork that is killed after a write; return whether there were so many."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        Killer(number, "after", "process").install(with_database=False)
        run("upgrade", *arguments)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == -signal.SIGKILL


# Of three for each file: the note, params.yaml, dvc.yaml, thaw.lock and others follow each other.
@pytest.mark.pipelines
@pytest.mark.parametrize(
    "number", [6, *(pytest.param(n, marks=pytest.mark.soak) for n in (3, 4, 5, *range(7, 40)))]
)
def test_an_upgrade_that_is_killed_is_completed_by_the_next_one(clone: Path, number: int) -> None:
    upgrade_is_killed(number, "--keep")
    run("upgrade")
    lock = tool_lock.read()
    assert lock is not None
    assert list(lock.kept) == list(STAGES)
    assert json.loads(run_dvc("status", "--json")) == {}
    assert not plan_upgrade().outputs


@pytest.mark.pipelines
def test_a_stage_that_was_changed_since_a_killed_upgrade_is_not_kept(clone: Path) -> None:
    assert upgrade_is_killed(12, "--keep")
    path = clone / "params.yaml"
    path.write_text(path.read_text().replace("patience: 5", "patience: 6"))
    run("upgrade")
    assert set(json.loads(run_dvc("status", "--json"))) == {"warmup_head", "unfreeze", "fold_bn"}

"""Any file that a pipeline leaves is damaged: the next reader names it or makes it again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import tiny
from tests.damage import damaged
from tests.forks import Forks, in_child
from tests.project import Project
from tests.stage_runs import outputs, run_stages
from thaw.errors import ThawError
from thaw.projects.repair import repair
from thaw.system import dvc_lock
from thaw.system.stage_names import STAGES
from thaw.training.checkpoints import Checkpoints

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Group:
    """Files of a project, and the stage that reads them; "" is `thaw repair`.

    ``interrupted``: they are those that an interrupted unfreeze leaves.
    """

    files: str
    reader: str
    interrupted: bool = False


GROUPS = {
    "prepared data": Group("data/prepared/*.*", "warmup_head"),
    "model of warmup_head": Group("models/warmup_head/*.*", "unfreeze"),
    "model of unfreeze": Group("models/unfreeze/*.*", "fold_bn"),
    "registered model": Group("models/fold_bn/merged/*.*", "evaluate"),
    "histories": Group("reports/*/history.csv", "evaluate"),
    "activations": Group(".thaw/activations/**/*.*", "unfreeze", interrupted=True),
    "checkpoints": Group(".thaw/checkpoints/**/*.*", "unfreeze", interrupted=True),
    "cache of DVC": Group(".dvc/cache/files/md5/*/*", ""),
}
KINDS = ("flip 0.0", "flip 0.1", "flip 0.5", "flip 0.9", "flip 1.0", "cut 0.5", "cut 0", "gone")
SAMPLE = {("prepared data", "flip 0.5"), ("registered model", "gone"), ("checkpoints", "flip 0.5")}


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    path.unlink()  # also where it is a link, or protected as in the cache
    if kind != "gone":
        path.write_bytes(damaged(content, kind) if content else b"damaged")


@contextlib.contextmanager
def damaged_copy(project: Project, folder: Path, file: Path, kind: str) -> Iterator[Path]:
    """Yield a copy of ``project`` without its store, in which ``file`` is damaged."""
    copied(project, folder)
    damage(folder / file, kind)
    try:
        with contextlib.chdir(folder):
            yield folder
    finally:
        shutil.rmtree(folder)


def copied(project: Project, folder: Path) -> Path:
    return Path(
        shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("mlruns", "spool"))
    )


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a finished project of a tiny network, with DVC's cache."""
    project = Project(tmp_path_factory.mktemp("pipeline") / "project")
    tiny.set_up(project)
    project.set(
        warmup_head__epochs=2,
        unfreeze__epochs=3,
        fold_bn__epochs=1,
        resources__checkpoint_minutes=1e-6,  # a checkpoint in every step
    )
    Forks(project, processes=1).stages(*STAGES)
    project.run("dvc", "commit", "--force")
    return project


@pytest.fixture(scope="module")
def interrupted(pipeline: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a copy of the project whose unfreeze was killed after its second checkpoint."""
    folder = copied(pipeline, tmp_path_factory.mktemp("interrupted") / "project")
    in_child(_killed_in_unfreeze, folder)
    assert list(folder.glob(GROUPS["checkpoints"].files))
    assert list(folder.glob(GROUPS["activations"].files))
    return Project(folder)


def _killed_in_unfreeze(folder: Path) -> None:
    save, saved = Checkpoints.save, []

    def save_and_end(*args: Any) -> None:
        save(*args)
        saved.append(args)
        if len(saved) == 2:
            os._exit(9)

    Checkpoints.save = save_and_end  # type: ignore[method-assign, assignment]
    run_stages(folder, "unfreeze")


@pytest.fixture(scope="module")
def expected(
    pipeline: Project, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    """Return the results of each stage that reads undamaged files, as this process computes."""
    found = {}
    for stage in {group.reader for group in GROUPS.values()} - {""}:
        folder = copied(pipeline, tmp_path_factory.mktemp("expected") / stage)
        assert in_child(refusal_of, folder, stage) == ""
        found[stage] = results(folder, stage)
        assert found[stage]
        shutil.rmtree(folder)
    return found


def results(folder: Path, stage: str) -> dict[str, str]:
    """Return the digest of each model, table and history that a stage writes."""
    kept = (path for path in outputs(stage) if Path(path).suffix in {".safetensors", ".csv"})
    return {
        path: hashlib.sha256((folder / path).read_bytes()).hexdigest()
        for path in kept
        if (folder / path).is_file()
    }


@pytest.mark.pipelines
@pytest.mark.parametrize(
    ("group", "kind"),
    [
        pytest.param(group, kind, marks=() if (group, kind) in SAMPLE else pytest.mark.soak)
        for group in GROUPS
        for kind in KINDS
    ],
)
@pytest.mark.usefixtures("tuned")
def test_a_damaged_file_is_named_or_made_again(
    group: str,
    kind: str,
    pipeline: Project,
    interrupted: Project,
    expected: dict[str, dict[str, str]],
    tmp_path: Path,
) -> None:
    one = GROUPS[group]
    project = interrupted if one.interrupted else pipeline
    files = [path for path in sorted(project.folder.glob(one.files)) if path.is_file()]
    assert files
    for path in files if (group, kind) not in SAMPLE else files[-2:]:
        file = path.relative_to(project.folder)
        with damaged_copy(project, tmp_path / "copy", file, kind) as folder:
            if not one.reader:
                repaired(folder, file)
                continue
            refusal = in_child(refusal_of, folder, one.reader)
            print(f"{file}, {kind}: {refusal or 'the same results'}")
            assert refusal is not None, f"{file}: traceback"
            if refusal:
                assert len(refusal.splitlines()) <= 2, refusal
                assert "thaw repair" in refusal or "dvc repro" in refusal, refusal
            else:
                assert results(folder, one.reader) == expected[one.reader], file


def refusal_of(folder: Path, stage: str) -> str:
    """Run the stage; return the message with which it refuses, or "" if it has run."""
    try:
        run_stages(folder, stage)
    except ThawError as error:
        return str(error) or "no message"
    return ""


def repaired(folder: Path, file: Path) -> None:
    """Run `thaw repair`: afterwards DVC's cache has the right bytes of each output, or none."""
    repair()
    md5 = file.parent.name + file.name
    outs = dvc_lock.recorded_outputs()
    repairable = {outs[path] for path in outs if path.parts[0] in {"data", "models"}}
    if md5 in repairable and (folder / file).exists():
        assert dvc_lock.file_md5(folder / file) == md5

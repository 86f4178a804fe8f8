"""A link or a hard link in place of any output of any stage: its target keeps its bytes.

DVC makes such links to its cache, with ``cache.type: symlink`` or ``hardlink``.
"""

from __future__ import annotations

import shutil
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
import torch

from tests import tiny
from tests.project import Project
from tests.stage_runs import outputs
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("symlink", "hard link")


def plant(folder: Path, names: list[str], kind: str) -> dict[Path, str]:
    """Replace the outputs by links to files outside of the project; return their contents."""
    written = {}
    for number, name in enumerate(names):
        precious = folder.parent / f"precious-{number}-{kind}"
        precious.write_text(f"of the user: {name}")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if kind == "symlink":
            path.symlink_to(precious)
        else:
            path.hardlink_to(precious)
        written[precious] = precious.read_text()
    return written


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with 36 images and a tiny network, as the working directory."""
    torch.set_num_threads(1)
    folder = tmp_path / "project"
    folder.mkdir()
    created = Project(folder)
    tiny.set_up(created)
    created.set(warmup_head__epochs=0, fold_bn__epochs=0)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
def test_every_stage_replaces_links_and_leaves_their_targets(project: Path) -> None:
    names = [name for stage in STAGES for name in outputs(stage)]
    assert len(names) >= 36
    for stage in STAGES:
        for kind in KINDS:
            files = plant(project, outputs(stage), kind)
            import_module(f"thaw.stages.{stage}").main()
            assert {path: path.read_text() for path in files} == files, (stage, kind)
            assert not any((project / name).is_symlink() for name in outputs(stage))
    assert all((project / name).stat().st_nlink == 1 for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_a_stage_that_runs_without_dvc_leaves_the_cache_as_it_is(
    prepared_project: Project, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(prepared_project.folder, tmp_path, dirs_exist_ok=True)
    project = Project(tmp_path)
    with (tmp_path / ".dvc/config.local").open("a") as stream:
        stream.write(f"[cache]\n    type = {kind}\n")
    project.run("dvc", "checkout", "--relink", "prepare")
    assert (tmp_path / "reports/prepare/report.json").is_symlink() == (kind == "symlink")
    assert (tmp_path / "reports/prepare/samples.png").stat().st_nlink == (2 - (kind == "symlink"))
    cached = {
        path: path.read_bytes() for path in (tmp_path / ".dvc/cache").rglob("*") if path.is_file()
    }
    assert len(cached) >= 6
    project.set(prepare__val_fraction=0.3)
    monkeypatch.chdir(tmp_path)
    import_module("thaw.stages.prepare").main()
    assert {path: path.read_bytes() for path in cached} == cached
    assert not (tmp_path / "reports/prepare/report.json").is_symlink()

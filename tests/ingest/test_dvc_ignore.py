from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ingest.images import save
from tests.ingest.obstacles import KINDS, make_obstacles
from thaw.config.data_sections import Data
from thaw.errors import ProblemsError
from thaw.ingest.dvc_ignore import FILE, name_obstacles, outdated, pattern

RAW = Path("data/raw")
DATA = Data(path=str(RAW), root=str(RAW))
STAGE = """\
stages:
  prepare:
    cmd: echo done > out
    deps: [data/raw]
    outs: [out]
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two images in ``data/raw``, which is entered."""
    project = tmp_path / "project"
    save(project / RAW / "cat" / "1.png", 1)
    save(project / RAW / "dog" / "2.png", 2)
    monkeypatch.chdir(project)
    return project


def dvc(*arguments: str) -> str:
    command = [sys.executable, "-P", "-m", "dvc", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pipeline() -> None:
    dvc("init", "--no-scm", "--quiet")
    Path("dvc.yaml").write_text(STAGE)


@pytest.mark.slow
def test_dvc_skips_entries_of_every_kind_that_it_cannot_read(project: Path) -> None:
    pipeline()
    make_obstacles(RAW / "cat")
    assert len(name_obstacles(DATA)) == len(KINDS) + 1
    dvc("repro")
    assert "nfiles: 2" in Path("dvc.lock").read_text()
    assert "up to date" in dvc("status")
    save(RAW / "dog" / "3.png", 3)
    assert "modified" in dvc("status")


@pytest.mark.slow
def test_dvc_skips_them_behind_a_link_to_a_folder_outside_of_the_project(project: Path) -> None:
    pipeline()
    RAW.rename(project.parent / "elsewhere")
    make_obstacles(project.parent / "elsewhere" / "dog")
    RAW.symlink_to(project.parent / "elsewhere")
    name_obstacles(DATA)
    dvc("repro")
    assert "nfiles: 2" in Path("dvc.lock").read_text()


def test_entries_outside_of_the_project_are_refused_with_the_remedy(project: Path) -> None:
    outside = project.parent / "elsewhere"
    make_obstacles(outside / "cat")
    with pytest.raises(ProblemsError, match=r"no effect outside of the project") as caught:
        name_obstacles(Data(path=str(outside), root=str(RAW)))
    assert len(caught.value.problems) == len(KINDS) + 1
    assert "ln -s FOLDER data/images" in str(caught.value)
    assert not FILE.exists()


def test_other_lines_stay_and_lines_of_repaired_entries_are_removed() -> None:
    FILE.write_text("*.pyc\n# mine")
    pipe = RAW / "cat" / "pipe"
    os.mkfifo(pipe)
    assert outdated(DATA)
    name_obstacles(DATA)
    once = FILE.read_text()
    assert once.splitlines()[:2] == ["*.pyc", "# mine"]
    assert "/data/raw/cat/pipe" in once.splitlines()
    assert not outdated(DATA)
    name_obstacles(DATA)
    assert FILE.read_text() == once
    pipe.unlink()
    assert outdated(DATA)
    assert name_obstacles(DATA) == []
    assert FILE.read_text() == "*.pyc\n# mine\n"


def test_without_obstacles_the_file_is_not_written() -> None:
    assert name_obstacles(DATA) == []
    assert not FILE.exists()


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("data/raw/a b.png", "/data/raw/a b.png"),
        ("data/raw/a*?[x]!.png", r"/data/raw/a\*\?\[x\]\!.png"),
        ("data/raw/end  ", "/data/raw/end" + 2 * '[!"-\U0010ffff]'),
        ("data/raw/\udcff", "/data/raw/[! -\ud7ff\ue000-\U0010ffff]"),
        ("data/raw/a\nb", '/data/raw/a[!"-\U0010ffff]b'),
        ("./data//raw/x", "/data/raw/x"),
    ],
)
def test_special_characters_are_escaped(path: str, line: str) -> None:
    assert pattern(Path(path)) == line

"""Any file that a pipeline leaves is damaged: the next reader names it or makes it again."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.damage import damaged
from tests.stage_runs import outputs, run_stages
from thaw.errors import ThawError
from thaw.projects.repair import repair
from thaw.system import dvc_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.project import Project


@dataclass(frozen=True)
class Group:
    """Files of a project, and the stage that reads them; "" is `thaw repair`."""

    files: str
    reader: str


GROUPS = {
    "prepared data": Group("data/prepared/*.*", "warmup_head"),
    "model of warmup_head": Group("models/warmup_head/*.*", "unfreeze"),
    "model of unfreeze": Group("models/unfreeze/*.*", "fold_bn"),
    "registered model": Group("models/fold_bn/merged/*.*", "evaluate"),
    "histories": Group("reports/*/history.csv", "evaluate"),
    "activations": Group(".thaw/activations/**/*.*", "unfreeze"),
    "checkpoints": Group(".thaw/checkpoints/**/*.*", "unfreeze"),
    "cache of DVC": Group(".dvc/cache/files/md5/*/*", ""),
}
KINDS = ("flip 0.0", "flip 0.1", "flip 0.5", "flip 0.9", "flip 1.0", "cut 0.5", "cut 0", "gone")
SAMPLE = {("prepared data", "flip 0.5"), ("registered model", "gone")}


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    path.unlink()  # also where it is a link, or protected as in the cache
    if kind != "gone":
        path.write_bytes(damaged(content, kind))


@contextlib.contextmanager
def damaged_copy(project: Project, folder: Path, file: Path, kind: str) -> Iterator[Path]:
    """Yield a copy of ``project`` without its store, in which ``file`` is damaged."""
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("mlruns"))
    damage(folder / file, kind)
    try:
        with contextlib.chdir(folder):
            yield folder
    finally:
        shutil.rmtree(folder)


def results(folder: Path, stage: str) -> dict[str, str]:
    """Return the digest of each model, table and history that a stage writes."""
    kept = (path for path in outputs(stage) if Path(path).suffix in {".safetensors", ".csv"})
    return {
        path: hashlib.sha256((folder / path).read_bytes()).hexdigest()
        for path in kept
        if (folder / path).is_file()
    }


@pytest.mark.slow
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
    group: str, kind: str, short_pipeline: Project, tmp_path: Path
) -> None:
    one = GROUPS[group]
    files = [path for path in sorted(short_pipeline.folder.glob(one.files)) if path.is_file()]
    if not files and group in {"activations", "checkpoints"}:
        pytest.skip("a finished pipeline has none")
    for path in files if (group, kind) not in SAMPLE else files[-2:]:
        file = path.relative_to(short_pipeline.folder)
        with damaged_copy(short_pipeline, tmp_path / "copy", file, kind) as folder:
            if one.reader:
                read_by_stage(folder, one.reader, short_pipeline.folder, str(file))
            else:
                repaired(folder, file)


def read_by_stage(folder: Path, stage: str, undamaged: Path, file: str) -> None:
    """Run the stage: it refuses in one line, or its results are those of the undamaged project."""
    refusal = ""
    try:
        run_stages(folder, stage)
    except ThawError as error:
        refusal = str(error)
    if refusal:
        assert len(refusal.splitlines()) <= 2, refusal
        assert "thaw repair" in refusal or "dvc repro" in refusal, refusal
    else:
        assert results(folder, stage) == results(undamaged, stage), file


def repaired(folder: Path, file: Path) -> None:
    """Run `thaw repair`: afterwards DVC's cache has the right bytes of each output, or none."""
    repair()
    md5 = file.parent.name + file.name
    outs = dvc_lock.recorded_outputs()
    repairable = {outs[path] for path in outs if path.parts[0] in {"data", "models"}}
    if md5 in repairable and (folder / file).exists():
        assert dvc_lock.file_md5(folder / file) == md5

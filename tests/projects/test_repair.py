"""`thaw repair` with the real DVC, on the outputs of the stage prepare."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from tests import tiny
from tests.cli.verbs import error, run
from tests.damage import SAMPLE, damaged
from tests.forked_dvc import run_dvc
from tests.project import ROOT, Project
from tests.stage_runs import run_stages
from thaw.data.integrity import DamagedError
from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.projects.repair import DAMAGED, repair
from thaw.system import dvc_lock
from thaw.system.locks import only_process
from thaw.system.project_paths import PREPARED, SCRATCH

FILES = ("manifest.csv", "images.bin", "index.npy", "pack.json")


@pytest.fixture
def project(prepared_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of a project whose stage prepare has run, which is entered."""
    folder = shutil.copytree(prepared_project.folder, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(folder)
    return folder


def cached(path: Path) -> Path:
    """Return the copy of an output in DVC's cache."""
    md5 = dvc_lock.recorded_outputs()[path]
    return Path(".dvc/cache/files/md5") / md5[:2] / md5[2:]


def rot(path: Path, kind: str = "flip 0.5") -> None:
    """Damage a file; its time stays, so that DVC does not notice it."""
    stamp = path.stat()
    path.chmod(0o644)
    path.write_bytes(damaged(path.read_bytes(), kind))
    path.chmod(stamp.st_mode)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def digests() -> dict[str, str]:
    return {name: hashlib.sha256((PREPARED / name).read_bytes()).hexdigest() for name in FILES}


def assert_all_is_well(before: dict[str, str]) -> None:
    assert digests() == before
    data = Prepared(PREPARED)
    for number in range(len(data.store)):
        data.store.read(number)
    for name in FILES:
        copy = cached(PREPARED / name)
        assert hashlib.md5(copy.read_bytes()).hexdigest() == "".join(copy.parts[-2:])
    assert json.loads(run_dvc("status", "--json", "prepare")) == {}
    assert not repair().moved


@pytest.mark.slow
def test_intact_outputs_are_left_alone(project: Path) -> None:
    before = digests()
    assert run("repair").splitlines() == ["4 files are intact"]
    assert_all_is_well(before)
    assert not DAMAGED.exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SAMPLE[3], SAMPLE[6], SAMPLE[7]])
def test_a_damaged_output_is_taken_from_the_cache(project: Path, kind: str) -> None:
    before = digests()
    for name in FILES:
        rot(PREPARED / name, kind)
    with pytest.raises(DamagedError, match="`thaw repair`"):
        Prepared(PREPARED)
    output = run("repair")
    assert output.count("was damaged or missing: taken from DVC's cache") == 4
    assert_all_is_well(before)
    assert len([path for path in DAMAGED.rglob("*") if path.is_file()]) == 4


@pytest.mark.slow
def test_a_file_that_is_damaged_twice_is_kept_twice(project: Path) -> None:
    before = digests()
    contents = []
    for byte in (b"1", b"2"):
        path = PREPARED / "pack.json"
        path.unlink()
        path.write_bytes(byte)
        repair()
        contents.append(byte)
        kept = sorted(each.read_bytes() for each in DAMAGED.rglob("*") if each.is_file())
        assert kept == contents
    assert_all_is_well(before)


@pytest.mark.slow
def test_a_damaged_copy_in_the_cache_is_replaced_and_a_missing_output_restored(
    project: Path,
) -> None:
    before = digests()
    rot(cached(PREPARED / "images.bin"))
    (PREPARED / "index.npy").unlink()
    found = repair()
    assert found.cached == [PREPARED / "images.bin"]
    assert found.restored == [PREPARED / "index.npy"]
    assert_all_is_well(before)


@pytest.mark.slow
def test_an_output_that_is_damaged_here_and_in_the_cache_is_computed_again(project: Path) -> None:
    before = digests()
    for path in (PREPARED / "images.bin", cached(PREPARED / "images.bin")):
        rot(path)
    run_dvc("repro", "--force", "prepare")  # DVC puts its damaged copy in place of the new file
    with pytest.raises(DamagedError):
        Prepared(PREPARED).store.read(18)
    assert "`dvc repro` computes it again" in run("repair")
    run_dvc("repro", "prepare")
    assert_all_is_well(before)


@pytest.mark.slow
@pytest.mark.parametrize("link", ["symlink", pytest.param("hardlink", marks=pytest.mark.soak)])
def test_an_output_that_is_a_link_into_the_cache_is_computed_again(
    project: Path, link: str
) -> None:
    before = digests()
    run_dvc("config", "cache.type", link)
    run_dvc("checkout", "--relink", "prepare")
    assert (PREPARED / "images.bin").samefile(cached(PREPARED / "images.bin"))
    assert_all_is_well(before)
    rot(cached(PREPARED / "images.bin"))
    assert repair().lost == [PREPARED / "images.bin"]
    run_dvc("repro", "prepare")
    assert_all_is_well(before)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_lock_that_a_killed_dvc_has_begun_is_written_again(share: float, project: Path) -> None:
    lock, before = project / "dvc.lock", digests()
    whole = lock.read_bytes()
    lock.write_bytes(whole[: int(share * len(whole))].rstrip(b"\n"))
    if share == 0:
        assert "`thaw repair`" in error("check")
    run("repair")
    assert not lock.exists()
    assert [path.name for path in DAMAGED.rglob("dvc.lock")] == ["dvc.lock"]
    output = run_dvc("repro", "prepare")
    assert "Stage 'prepare' is cached - skipping run" in output
    assert lock.read_bytes() == whole
    assert_all_is_well(before)


def test_a_repair_is_refused_while_a_stage_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with only_process(SCRATCH / "unfreeze.lock", "the stage unfreeze"):
        assert "the stage unfreeze is already running" in error("repair")


@pytest.mark.slow
def test_no_output_is_touched_while_a_stage_runs(project: Path) -> None:
    rot(PREPARED / "images.bin")
    before = digests()
    with only_process(SCRATCH / "prepare.lock", "the stage prepare"):
        assert "the stage prepare is already running" in error("repair")
    assert digests() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "md5"),
    [
        ("data/prepared/../../mine.png", "0" * 32),
        ("data/prepared/x", "aa/../../../../../mine.png"),
        ("data/prepared/x", ""),
        ("data/prepared/x", "7"),
        ("models/x", "A" * 32 + "\n"),
    ],
)
def test_a_foreign_file_that_the_lock_names_is_not_moved(
    path: str, md5: str, project: Path
) -> None:
    (project / "mine.png").write_bytes(b"mine")
    (project / "data/prepared/x").write_bytes(b"x")
    entry = {"cmd": "x", "outs": [{"path": path, "md5": md5}]}
    (project / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"prepare": entry}}))
    with pytest.raises(ThawError, match="is no output that DVC recorded") as refused:
        repair()
    assert "\n" not in str(refused.value)
    assert (project / "mine.png").read_bytes() == b"mine"
    assert not (project / DAMAGED).exists()


@pytest.mark.slow
def test_outputs_of_other_stages_are_left_to_the_user(project: Path) -> None:
    """DVC locks outputs that its cache does not have, and folders, in the same way."""
    (project / "models/mine").mkdir(parents=True)
    size = project / "models/size.json"
    size.write_text("changed since")
    outs = (
        f"{{path: models/mine, md5: {'a' * 32}.dir}}, {{path: models/size.json, md5: {'b' * 32}}}"
    )
    with (project / "dvc.lock").open("a") as lock:
        lock.write(f"  mine:\n    cmd: x\n    outs: [{outs}]\n")
    assert run("repair").splitlines() == ["4 files are intact"]
    assert size.read_text() == "changed since"


@pytest.mark.slow
def test_a_project_without_dvc_is_one_line(project: Path) -> None:
    shutil.rmtree(project / ".dvc")
    assert "DVC cannot repair this project: you are not inside of a DVC" in error("repair")


@pytest.fixture(scope="module")
def made_with_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project whose stage prepare has packed three files of at most 1 MB."""
    project = Project(tmp_path_factory.mktemp("shards"))
    tiny.set_up(project)
    shutil.rmtree(project.folder / "data/raw")
    tiny.images(project.folder / "data/raw", size=160)
    project.set(prepare__short_side=160, prepare__shard_mb=1)
    run_stages(project.folder, "prepare")
    with contextlib.chdir(project.folder):
        run_dvc("commit", "--force", "prepare")
    return project.folder


@pytest.fixture
def shards(
    made_with_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[Path, bytes]:
    """Return the shards of a copy of the project, which is entered."""
    folder = shutil.copytree(made_with_shards, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(folder)
    return present_shards()


def present_shards() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted((PREPARED / "images.bin").iterdir())}


def cached_shard(path: Path) -> Path:
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    return Path(".dvc/cache/files/md5") / md5[:2] / md5[2:]


def assert_shards_are_well(before: dict[Path, bytes]) -> None:
    assert present_shards() == before
    data = Prepared(PREPARED)
    for number in range(len(data.store)):
        data.store.read(number)
    assert all(cached_shard(path).read_bytes() == content for path, content in before.items())
    assert json.loads(run_dvc("status", "--json", "prepare")) == {}
    assert not repair().moved


@pytest.mark.slow
def test_intact_shards_are_left_alone(shards: dict[Path, bytes]) -> None:
    assert len(shards) == 3
    assert run("repair").splitlines() == ["6 files are intact"]
    assert_shards_are_well(shards)


@pytest.mark.slow
def test_a_damaged_and_a_missing_shard_are_taken_from_the_cache(shards: dict[Path, bytes]) -> None:
    first, second, _ = shards
    rot(first)
    second.unlink()
    with pytest.raises(DamagedError, match=r"00001\.bin is damaged: it is missing"):
        Prepared(PREPARED).store.read(14)
    assert repair().restored == [first, second]
    assert_shards_are_well(shards)


@pytest.mark.slow
def test_a_damaged_list_of_shards_and_a_damaged_copy_are_replaced(
    shards: dict[Path, bytes],
) -> None:
    copy = cached_shard(list(shards)[2])
    rot(copy)
    rot(cached(PREPARED / "images.bin"))
    assert repair().cached == [PREPARED / "images.bin", list(shards)[2]]
    assert_shards_are_well(shards)


@pytest.mark.slow
def test_a_shard_that_is_damaged_here_and_in_the_cache_is_computed_again(
    shards: dict[Path, bytes],
) -> None:
    damaged_shard, other, _ = shards
    rot(cached_shard(damaged_shard))
    rot(damaged_shard)
    other.unlink()
    found = repair()
    assert found.lost == [damaged_shard]
    run_dvc("repro", "prepare")
    assert_shards_are_well(shards)

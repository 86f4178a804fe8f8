"""Tests of training data in tar shards on an S3 server."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests import settings
from tests.ingest.shards import numbered, write_shard
from tests.tmpfs import with_tmpfs
from thaw.config.data_sections import Data
from thaw.errors import ThawError
from thaw.ingest.shard_source import list_shards
from thaw.stages import prepare
from tools.services.object_store import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.services

_SMALL_DISK_MB = 24
# Two cores: the number of shards that are on the disk at a time grows with the cores.
_ON_TWO_CORES = """
import os, pathlib, shutil, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
from tests.services.test_shards_on_s3 import run
shards, disk, kept = map(pathlib.Path, sys.argv[1:])
run(shards, disk / "out")
shutil.copytree(disk / "out", kept)
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """An S3 server whose variables are set, and new sessions of s3fs."""
    import s3fs

    running = ObjectStore(tmp_path / "s3")
    for name, value in running.variables.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    yield running
    running.stop()


def upload(raw: Path, bucket: str) -> None:
    import s3fs

    files = s3fs.S3FileSystem()
    for path in raw.iterdir():
        files.put(str(path), f"{bucket}/{path.name}")


def run(path: Path, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    config = Data(source="webdataset", path=str(path), label_field="txt")
    small = settings.PARAMS.prepare.model_copy(update={"short_side": 64})
    params = settings.PARAMS.model_copy(update={"data": config, "prepare": small})
    return prepare.run(params, list_shards(config), folder)


def test_shards_on_an_object_store_give_the_same_pixels_as_local_ones(
    tmp_path: Path, store: ObjectStore
) -> None:
    raw = tmp_path / "raw"
    for number in range(4):
        write_shard(raw / f"photos-{number}.tar", numbered(40 * number, 40))
    store.create_bucket("photos")
    upload(raw, "photos")
    (tmp_path / "shards.txt").write_text("s3://photos/photos-{0..3}.tar\n")
    with store.faults(0.1):  # botocore tries again
        report = run(tmp_path / "shards.txt", tmp_path / "remote")
    run(raw, tmp_path / "local")
    assert report["images"] == 160
    for name in ("images.bin", "index.npy"):
        assert (tmp_path / "remote" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


def test_shards_that_are_larger_than_the_disk_in_all_give_the_same_images(
    tmp_path: Path, store: ObjectStore
) -> None:
    raw, disk = tmp_path / "raw", tmp_path / "disk"
    for number in range(20):
        write_shard(raw / f"photos-{number:02}.tar", numbered(8 * number, 8, size=300))
    assert sum(path.stat().st_size for path in raw.iterdir()) > 1.7e6 * _SMALL_DISK_MB
    store.create_bucket("photos")
    upload(raw, "photos")
    (tmp_path / "shards.txt").write_text("s3://photos/photos-{00..19}.tar\n")
    disk.mkdir()
    done = subprocess.run(
        [
            *with_tmpfs(disk, f"size={_SMALL_DISK_MB}m"),
            *(sys.executable, "-c", _ON_TWO_CORES),
            *(str(tmp_path / "shards.txt"), str(disk), str(tmp_path / "kept")),
        ],
        # Temporary files are on the small disk, too.
        env={
            **os.environ,
            "TMPDIR": str(disk),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    run(raw, tmp_path / "local")
    for name in ("images.bin", "index.npy"):
        assert (tmp_path / "kept" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9", "Could not connect"),
        ("", "", "FileNotFoundError: photos/none.tar"),
    ],
)
def test_a_shard_that_cannot_be_copied_is_one_line(
    tmp_path: Path,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    reason: str,
) -> None:
    store.create_bucket("photos")
    if variable:
        monkeypatch.setenv(variable, value)
    (tmp_path / "shards.txt").write_text("s3://photos/none.tar\n")
    with pytest.raises(ThawError, match=reason) as caught:
        run(tmp_path / "shards.txt", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert store.secret not in str(caught.value)

"""Tests of training data in tar shards on an S3 server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import settings
from tests.ingest.shards import numbered, write_shard
from thaw.config.data_sections import Data
from thaw.errors import ThawError
from thaw.ingest.shard_source import list_shards
from thaw.stages import prepare
from tools.services.object_store import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.services


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
    return prepare.run(
        settings.PARAMS.model_copy(update={"data": config}), list_shards(config), folder
    )


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

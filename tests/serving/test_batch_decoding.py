from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
import torch

from tests.registry.served import image
from thaw.data.decoding_budget import MemoryShare
from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving import batch_decoding
from thaw.serving.batch_decoding import DecodedBatch, decoded, read_batch
from thaw.system.processes import cores

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.data.image_reader import ImageReader

COUNT = 23


@pytest.fixture
def reader(model: Path) -> ImageReader:
    return Predictor(model).reader


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    names = [f"{number:02d}.png" for number in range(COUNT)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(b"no image" if number == 5 else image(number))
    return names


@pytest.fixture(params=["threads", "processes"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    few = 10**9 if request.param == "threads" else 0
    monkeypatch.setattr(batch_decoding, "_FEW", few)
    return str(request.param)


def test_batches_come_decoded_in_their_order(
    reader: ImageReader, paths: list[str], way: str, tmp_path: Path
) -> None:
    batches = [paths[start : start + 4] for start in range(0, COUNT, 4)]
    found = list(decoded(reader, tmp_path, batches))
    assert [batch.paths for batch in found] == [
        [path for path in batch if path != "05.png"] for batch in batches
    ]
    for batch in found:
        expected = [reader.read((tmp_path / path).read_bytes()) for path in batch.paths]
        assert torch.equal(batch.images, torch.cat(expected))
    ((path, reason),) = [failure for batch in found for failure in batch.failed]
    assert path == "05.png"
    assert "not an image" in reason


def test_processes_decode_where_the_images_are_many(
    reader: ImageReader, paths: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def pid_of_batch(*_: object) -> int:
        return os.getpid()

    monkeypatch.setattr(batch_decoding, "read_batch", pid_of_batch)
    found: list[object] = list(decoded(reader, tmp_path, [paths]))
    assert found == [os.getpid()]
    monkeypatch.setattr(batch_decoding, "_FEW", COUNT)
    found = list(decoded(reader, tmp_path, [paths, paths]))
    assert os.getpid() not in found


def test_threads_decode_where_processes_cannot_share_memory(
    reader: ImageReader, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_decoding, "_FEW", COUNT)
    assert batch_decoding._suits_processes(reader, [paths])
    needed = cores() * 2 * COUNT * 3 * reader.preprocessing.image_size**2

    class Usage:
        free = 2 * needed

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    assert not batch_decoding._suits_processes(reader, [paths])
    Usage.free += 1
    assert batch_decoding._suits_processes(reader, [paths])
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    assert not batch_decoding._suits_processes(reader, [paths])


@pytest.mark.slow
def test_processes_decode_large_images_one_at_a_time(
    reader: ImageReader, paths: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    used = tmp_path / "used"

    def alone(_: object, __: Path, batch: list[str]) -> DecodedBatch:
        share = MemoryShare()
        share.take(1e12)
        overlaps = [("overlap", "")] if used.exists() else []
        used.touch()
        time.sleep(0.05)
        used.unlink(missing_ok=True)
        share.release()
        return DecodedBatch(batch, torch.empty(0), overlaps)

    monkeypatch.setattr(batch_decoding, "_FEW", 0)
    monkeypatch.setattr(batch_decoding, "cores", lambda: 2)
    monkeypatch.setattr(batch_decoding, "read_batch", alone)
    found = list(decoded(reader, tmp_path, [[path] for path in paths]))
    assert len(found) == COUNT
    assert not [failure for batch in found for failure in batch.failed]


def test_a_killed_process_is_named_in_one_line(
    reader: ImageReader, paths: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(batch_decoding, "_FEW", 0)
    monkeypatch.setattr(batch_decoding, "read_batch", killed)
    with pytest.raises(ThawError, match="a process that decodes images was killed"):
        list(decoded(reader, tmp_path, [paths]))


def test_a_batch_without_a_readable_image_has_no_images(
    reader: ImageReader, paths: list[str], tmp_path: Path
) -> None:
    found = read_batch(reader, tmp_path, ["05.png"])
    assert (found.paths, len(found.images), len(found.failed)) == ([], 0, 1)

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch

from tests import settings
from tests.data.preprocessing import SMALL
from tests.ingest.shards import numbered, png, write_shard
from thaw.config.data_sections import Data
from thaw.data import manifest
from thaw.data.prepared import Prepared
from thaw.errors import ProblemsError, ThawError
from thaw.ingest import part_reading
from thaw.ingest.folder_source import list_folder
from thaw.ingest.shard_source import list_shards
from thaw.stages import prepare
from thaw.training.runtime import Runtime
from thaw.training.step_order import StepOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from thaw.data.loading import ImageSource
    from thaw.ingest.part_packing import PackedPart

PREPARE = settings.prepare(val_fraction=0.25, test_fraction=0.25)
PARAMS = settings.PARAMS.model_copy(update={"prepare": PREPARE})
COUNTS = (40, 3, 25)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """68 samples in three shards."""
    first = 0
    for number, count in enumerate(COUNTS):
        write_shard(tmp_path / "raw" / f"{number}.tar", numbered(first, count))
        first += count
    return tmp_path / "raw"


def data(path: Path, **changes: Any) -> Data:
    return Data(source="webdataset", path=str(path), **changes)


def run(config: Data, folder: Path, scratch: Path | None = None, **packing: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    changed = PREPARE.model_copy(update=packing)
    params = PARAMS.model_copy(update={"data": config, "prepare": changed})
    return prepare.run(params, list_shards(config), folder, scratch)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def addressed(raw: Path) -> Path:
    """Return a list of the shards with addresses, as those of an object store."""
    path = raw.parent / "shards.txt"
    path.write_text(f"file://{raw}/{{0..2}}.tar\n")
    return path


@pytest.mark.slow
def test_shards_are_prepared_as_the_same_images_in_folders_are(tmp_path: Path, raw: Path) -> None:
    report = run(data(raw, label_field="txt"), tmp_path / "shards")
    for number in range(sum(COUNTS)):
        path = tmp_path / "folders" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    (tmp_path / "images").mkdir()
    prepare.run(PARAMS, list_folder(tmp_path / "folders"), tmp_path / "images")
    shards, images = Prepared(tmp_path / "shards"), Prepared(tmp_path / "images")
    described = [
        sorted((row.digest, row.label, row.split, row.width) for row in found.manifest.rows)
        for found in (shards, images)
    ]
    assert described[0] == described[1]
    pixels = {row.digest: images.store.read(row.id).tobytes() for row in images.manifest.rows}
    for row in shards.manifest.rows:
        assert shards.store.read(row.id).tobytes() == pixels[row.digest]
    assert shards.manifest.rows[0].path == "0.tar/0000.png"
    assert (report["images"], report["classes"]) == (68, 2)


def test_labels_that_may_be_mistakes_are_noted(tmp_path: Path) -> None:
    samples = [{**each, "txt": ("nan", "dog")[each["cls"]]} for each in numbered(0, 8)]
    write_shard(tmp_path / "raw" / "0.tar", samples)
    report = run(data(tmp_path / "raw", label_field="txt"), tmp_path / "out")
    assert any(note.startswith("the labels 'nan' (4 images) are what") for note in report["notes"])


@pytest.mark.slow
def test_the_number_of_images_is_estimated_from_the_sizes_of_shards_that_are_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimates = list[int]()

    def counted(
        parts: Iterable[PackedPart], _: str, total: Callable[[int], int], *__: str, size: Any
    ) -> Iterator[PackedPart]:
        done = 0
        for part in parts:
            done += size(part)
            estimates.append(total(done))
            yield part

    monkeypatch.setattr("thaw.ingest.packing.counted", counted)
    (tmp_path / "raw").mkdir()
    write_shard(tmp_path / "raw" / "0.tar", numbered(0, 40))
    write_shard(tmp_path / "raw" / "1.tar", numbered(40, 30))
    write_shard(tmp_path / "raw" / "2.tar", numbered(70, 10))
    run(data(tmp_path / "raw"), tmp_path / "files")
    assert len(estimates) == 3 + 2 + 1
    assert estimates == pytest.approx([80] * 6, rel=0.2)
    assert estimates[-1] == 80
    estimates.clear()
    run(data(addressed(tmp_path / "raw")), tmp_path / "addresses")
    assert estimates == [0] * 6, "the store is not asked for sizes"


@pytest.mark.slow
def test_copied_shards_give_the_same_bytes_and_leave_no_copy(tmp_path: Path, raw: Path) -> None:
    run(data(raw), tmp_path / "here")
    scratch = tmp_path / "scratch"
    report = run(data(addressed(raw)), tmp_path / "remote", scratch)
    here, remote = files(tmp_path / "here"), files(tmp_path / "remote")
    assert remote["images.bin"] == here["images.bin"]
    assert remote["index.npy"] == here["index.npy"]
    assert manifest.read(tmp_path / "remote").rows[0].path == f"file://{raw}/0.tar/0000.png"
    assert report["notes"][0] == "3 shards"
    assert [path.name for path in scratch.iterdir()] == ["source_states"]


@pytest.mark.slow
@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_stopped_run_continues_and_gives_the_same_bytes(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch, remote: bool, stop: int
) -> None:
    config = data(addressed(raw) if remote else raw)
    run(config, tmp_path / "whole")
    packed = part_reading._packed

    def stopped(*arguments: Any) -> Iterator[Any]:
        for number, part in enumerate(packed(*arguments)):
            if number == stop:
                raise KeyboardInterrupt
            yield part

    scratch = tmp_path / "scratch"
    monkeypatch.setattr(part_reading, "_packed", stopped)
    with suppress(KeyboardInterrupt):
        run(config, tmp_path / "out", scratch)
    monkeypatch.setattr(part_reading, "_packed", packed)
    said: list[str] = []
    monkeypatch.setattr(part_reading, "say", said.append)
    run(config, tmp_path / "out", scratch)
    kept = {1: 16, 3: 40, 4: 43}[stop]
    assert said == [f"continuing: {kept} images are packed already"]
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_splits_are_those_that_the_names_of_the_shards_state(tmp_path: Path) -> None:
    for number, name in enumerate(("train-0", "train-1", "valid-0", "test-0")):
        write_shard(tmp_path / "raw" / f"{name}.tar", numbered(10 * number, 10))
    run(data(tmp_path / "raw"), tmp_path / "out")
    splits = {row.path[:6]: row.split for row in manifest.read(tmp_path / "out").rows}
    assert splits == {"train-": "train", "valid-": "val", "test-0": "test"}


def test_splits_are_those_of_a_field(tmp_path: Path, raw: Path) -> None:
    run(data(raw, split_field="json.split"), tmp_path / "out")
    found = [row.split for row in manifest.read(tmp_path / "out").rows]
    assert {found[number] for number in range(68) if number % 3 == 0} == {"val"}
    assert "train" in found


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["train-0", "images-0"], "train-0.tar names a split, images-0.tar does not"),
        (["trainval", "val", "test"], "training and validation together, and validation again"),
    ],
)
def test_names_that_do_not_agree_about_splits_are_refused(
    tmp_path: Path, names: list[str], reason: str
) -> None:
    for name in names:
        write_shard(tmp_path / f"{name}.tar", [])
    with pytest.raises(ThawError, match=reason):
        list_shards(data(tmp_path))


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=r"there is no .*none"):
        list_shards(data(tmp_path / "none"))


@pytest.mark.slow
def test_samples_that_cannot_be_used_are_refused_or_left_out(tmp_path: Path, raw: Path) -> None:
    samples = numbered(100, 6)
    del samples[1]["cls"]
    samples[2]["png"] = b""
    path = write_shard(raw / "3.tar", samples)
    os.truncate(path, path.read_bytes().rindex(b"0105.cls"))
    with pytest.raises(ProblemsError) as caught:
        run(data(raw), tmp_path / "out")
    assert sorted(problem.split(":")[0] for problem in caught.value.problems) == [
        str(raw / name) for name in ("3.tar", "3.tar/0101", "3.tar/0102.png")
    ]
    left = {"on_error": "quarantine", "max_bad_fraction": 0.5}
    report = run(data(raw, **left), tmp_path / "out")
    assert report["images"] == 68 + 3
    assert report["left_out"]["files"] == 3


@pytest.mark.slow
def test_images_of_a_shard_that_changed_are_packed_again(tmp_path: Path, raw: Path) -> None:
    scratch = tmp_path / "scratch"
    write_shard(raw / "3.tar", [{"__key__": "1", "png": b"", "cls": 0}])
    with pytest.raises(ProblemsError):
        run(data(raw), tmp_path / "out", scratch)
    write_shard(raw / "3.tar", numbered(200, 5))
    write_shard(raw / "1.tar", numbered(300, 3))
    run(data(raw), tmp_path / "out", scratch)
    run(data(raw), tmp_path / "whole")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@dataclass(frozen=True)
class Rank:
    """The number of a process of a training, and how it loads: the part of ``Runtime`` for that."""

    rank: int
    world: int
    workers: int
    device = torch.device("cpu")
    batch_parts = Runtime.batch_parts
    load = Runtime.load


def step_order(source: ImageSource, rank: Rank) -> StepOrder:
    """Return the steps of a training with six images a step."""
    return StepOrder(cast("Runtime", rank), source, images=6, seed=0, fewest=1)


def epoch_digests(source: ImageSource, workers: int, ranks: int) -> tuple[str, ...]:
    """Return a digest of two epochs: number, pixels and target of the images of each step."""
    orders = [step_order(source, Rank(rank, ranks, workers)) for rank in range(ranks)]
    digests = []
    for epoch in (1, 2):
        found = hashlib.sha256()
        loaded = [order.runtime.load(source, order.parts(epoch), epoch) for order in orders]
        for parts in zip(*loaded, strict=True):
            images = [
                (int(index), int(target), image.numpy().tobytes())
                for batch in parts
                for index, target, image, weight in zip(
                    batch.indices, batch.targets, batch.inputs, batch.weights, strict=True
                )
                if weight
            ]
            found.update(repr(sorted(images)).encode())
        digests.append(found.hexdigest())
    return tuple(digests)


@pytest.mark.slow
def test_two_ranks_read_what_is_left_of_uneven_shards_with_copies_and_bad_samples(
    tmp_path: Path,
) -> None:
    copies = [sample | {"__key__": f"copy{n}"} for n, sample in enumerate(numbered(0, 3))]
    conflict = numbered(5, 1)[0] | {"__key__": "conflict", "txt": "cat"}  # image 5 is a dog
    bad = numbered(99, 1)[0] | {"__key__": "bad", "png": b"\x89PNG\r\n\x1a\ncut"}
    write_shard(tmp_path / "raw" / "0.tar", numbered(0, 31))
    write_shard(tmp_path / "raw" / "1.tar", [*copies, conflict, bad])
    write_shard(tmp_path / "raw" / "2.tar", numbered(31, 1))
    digests = set()
    for shard_mb in (0, 1):
        folder = tmp_path / f"packed{shard_mb}"
        config = data(
            tmp_path / "raw", label_field="txt", on_error="quarantine", max_bad_fraction=0.1
        )
        run(config, folder, on_conflict="drop", shard_mb=shard_mb)
        prepared = Prepared(folder)
        paths = {record.path for record in prepared.manifest.rows}
        assert len(paths) == 31 + 3 + 1 - 1  # image 5 has two labels: none of both is left
        assert not any("bad" in path or "conflict" in path or "0005" in path for path in paths)
        source = prepared.images("train", SMALL, 0, settings.augment(flip=0.5))
        digests |= {epoch_digests(source, workers, ranks) for workers in (0, 2) for ranks in (1, 2)}
    assert len(digests) == 1


@pytest.mark.pipelines
def test_every_number_of_workers_and_ranks_reads_the_same_images_of_shards(
    tmp_path: Path,
) -> None:
    write_shard(tmp_path / "raw" / "0.tar", numbered(0, 40, size=100))
    write_shard(tmp_path / "raw" / "1.tar", numbered(40, 25, size=100))
    digests = set()
    for shard_mb, files_of_images in ((0, 1), (1, 2)):
        folder = tmp_path / f"packed{shard_mb}"
        run(data(tmp_path / "raw"), folder, short_side=100, shard_mb=shard_mb)
        prepared = Prepared(folder)
        assert len([path for path in folder.rglob("*.bin") if path.is_file()]) == files_of_images
        source = prepared.images("train", SMALL, 0, settings.augment(flip=0.5, rotate=20.0))
        digests |= {
            epoch_digests(source, workers, ranks) for workers in (0, 1, 2, 4) for ranks in (1, 2)
        }
        for epoch in (1, 2):
            order = step_order(source, Rank(0, 1, 0))
            numbers = np.concatenate([part.indices for part in order.parts(epoch)])
            assert sorted(numbers.tolist()) == list(range(len(source)))
    assert len(digests) == 1
    first, second = digests.pop()
    assert first != second, "each epoch has its own order"

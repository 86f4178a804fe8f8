from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from filelock import FileLock
from torch import nn

from tests import settings, tiny
from tests.training import phase
from tests.training.lower_activations import files, lower
from thaw.data import manifest
from thaw.data.manifest import Row
from thaw.data.pack_writer import PackWriter
from thaw.data.prepared import Prepared
from thaw.model.frozen_part import FrozenPart
from thaw.system import tool_lock
from thaw.training.activation_cache import Cache, cache_of

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.data.loading import ImageSource


@pytest.mark.parametrize(
    "change", ["a weight", "a statistic", "the cut", "the data", "the split", "timm"]
)
def test_the_file_name_depends_on_everything_that_determines_the_activations(
    cache: Cache, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, model, split, cut = tiny.runtime(), tiny.classifier(), "train", 2
    before = cache.path(runtime, FrozenPart(model.part(0, cut)), split)
    if change == "a weight":
        next(model.blocks[0].parameters()).data[0, 0, 0, 0] += 1e-6
    elif change == "a statistic":
        next(model.blocks[0].buffers())[0] += 1e-6
    elif change == "the data":
        cache = Cache(cache.folder, cache.limit, "other")
    elif change == "timm":
        monkeypatch.setattr(tool_lock, "version", lambda _: "999.0")
    cut, split = (1 if change == "the cut" else 2), ("val" if change == "the split" else split)
    assert cache.path(runtime, FrozenPart(model.part(0, cut)), split) != before


@pytest.mark.parametrize("change", ["a weight", "a statistic"])
def test_a_tensor_of_the_modules_own_names_the_file_too(cache: Cache, change: str) -> None:
    norm = nn.BatchNorm2d(3)
    before = cache.path(tiny.runtime(), norm, "train")
    assert norm.running_mean is not None
    (norm.weight.data if change == "a weight" else norm.running_mean)[0] += 1e-6
    assert cache.path(tiny.runtime(), norm, "train") != before


def test_the_file_name_does_not_depend_on_the_layers_above_the_cut(cache: Cache) -> None:
    model = tiny.classifier()
    before = cache.path(tiny.runtime(), FrozenPart(model.part(0, 2)), "train")
    next(model.blocks[2].parameters()).data += 1
    next(model.head.parameters()).data += 1
    assert cache.path(tiny.runtime(), FrozenPart(model.part(0, 2)), "train") == before


def test_the_least_recently_used_go_first(cache: Cache, train: ImageSource) -> None:
    for cut in (1, 2):
        lower(train, cache, cut)
    oldest, newer = sorted(files(cache), key=lambda path: path.stat().st_mtime_ns)
    os.utime(newer, ns=(0, 0))
    os.utime(oldest, ns=(10**9, 10**9))  # used since
    size = oldest.stat().st_size
    limited = Cache(cache.folder, size + 5000, cache.data)
    lower(train, limited, 3)
    assert oldest in files(cache)
    assert newer not in files(cache)


def test_a_file_that_another_process_is_about_to_open_is_kept(
    cache: Cache, train: ImageSource
) -> None:
    lower(train, cache, 1)
    (opened,) = files(cache)
    with FileLock(opened.with_suffix(".lock")):
        lower(train, Cache(cache.folder, 0, cache.data), 2)
        assert opened in files(cache)
    lower(train, Cache(cache.folder, 0, cache.data), 3)
    assert opened not in files(cache)


def test_a_file_in_use_is_kept_even_above_the_size_limit(cache: Cache, train: ImageSource) -> None:
    lower(train, Cache(cache.folder, 0, cache.data))
    assert len(files(cache)) == 1


def test_partial_files_of_a_killed_process_are_deleted_but_not_those_being_written(
    cache: Cache, train: ImageSource
) -> None:
    cache.folder.mkdir()
    left, written = cache.folder / "left.part", cache.folder / "written.part"
    for path in (left, written):
        path.write_bytes(b"x" * 1000)
        os.utime(path, (0, 0))
    with FileLock(written.with_suffix(".lock")):
        lower(train, replace(cache, limit=1500))
    assert not left.exists()
    assert written.exists()


def test_the_same_images_packed_otherwise_are_other_data(tmp_path: Path) -> None:
    preprocessing = phase.images(tmp_path / "images").preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    names = set()
    encodings: tuple[Literal["raw", "jpeg"], ...] = ("raw", "jpeg")
    for encoding in encodings:
        folder = tmp_path / encoding
        folder.mkdir()
        with PackWriter(folder, settings.prepare(encoding=encoding)) as writer:
            writer.add(pixels)
        manifest.write([Row(0, "a.png", "digest", "a", "train", 8, 8)], folder)
        names.add(cache_of(folder, Prepared(folder), preprocessing, 1.0).data)
    assert len(names) == 2

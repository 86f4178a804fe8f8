from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.datasets.division import divided, image_names, write_images

if TYPE_CHECKING:
    from pathlib import Path


def test_a_group_stays_in_one_split_and_splits_have_their_shares() -> None:
    groups = {f"{label}/{n}.png": f"{label}{n // 2}" for label in ("a", "b") for n in range(40)}
    splits = divided(groups, {"train": 0.5, "val": 0.25}, seed=1)
    by_group = {groups[name]: set() for name in groups}  # type: ignore[var-annotated]
    for name, split in splits.items():
        by_group[groups[name]].add(split)
    assert all(len(found) == 1 for found in by_group.values())
    counts = Counter((name[0], split) for name, split in splits.items())
    assert counts["a", "train"] == counts["b", "train"] == 20
    assert counts["a", "val"] == counts["b", "val"] == counts["a", "test"] == 10


def test_room_of_one_or_more_is_a_number_of_images() -> None:
    groups = {f"a/{n}.png": str(n) for n in range(40)}
    splits = Counter(divided(groups, {"train": 30, "val": 5}, seed=0).values())
    assert splits == {"train": 30, "val": 5, "test": 5}


def test_another_seed_draws_another_division() -> None:
    groups = {f"a/{n}.png": str(n) for n in range(40)}
    room = {"train": 0.5}
    assert divided(groups, room, seed=0) == divided(groups, room, seed=0)
    assert divided(groups, room, seed=0) != divided(groups, room, seed=1)


def test_repeated_pixels_and_ambiguous_labels_are_left_out(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    chosen = {}
    for name, image, label in (
        ("first", 0, "a"), ("repeated", 0, "a"), ("cat", 1, "a"), ("dog", 1, "b"), ("last", 2, "b")
    ):  # fmt: skip
        path = tmp_path / f"{name}.png"
        Image.fromarray(pixels[image]).save(path)
        chosen[path] = label
    (tmp_path / "broken.png").write_bytes(b"no image")
    chosen[tmp_path / "broken.png"] = "a"
    write_images(tmp_path / "written", chosen, most_alike=2)
    assert Counter(name[0] for name in image_names(tmp_path / "written")) == {"a": 1, "b": 1}

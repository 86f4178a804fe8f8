from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.ingest.images import save
from thaw.ingest.checks import (
    class_problems,
    conflict_problems,
    conversion_counts,
    count_leaks,
    duplicates,
    label_conflicts,
    repeated_hashes,
)
from thaw.ingest.folder_source import list_folder


def test_a_source_without_images_is_one_problem(tmp_path: Path) -> None:
    assert class_problems(list_folder(tmp_path)) == [
        f"{tmp_path}: contains no images: put a folder of images for each class there"
    ]


def test_an_empty_class_and_a_single_class_are_both_reported(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png")
    (tmp_path / "dog").mkdir()
    (tmp_path / "fox").mkdir()
    empty, other, single = class_problems(list_folder(tmp_path))
    assert empty.startswith(f"{tmp_path / 'dog'}: the class has no image")
    assert other.startswith(f"{tmp_path / 'fox'}: the class has no image")
    assert "only one class (cat), and a classifier needs two: add" in single


def test_an_unclear_layout_is_the_only_problem(tmp_path: Path) -> None:
    save(tmp_path / "flowers" / "train" / "rose" / "1.png")
    save(tmp_path / "flowers" / "test" / "rose" / "1.png")
    found = list_folder(tmp_path)
    assert len(found.problems) == 1
    assert class_problems(found) == []


def test_two_classes_with_images_are_no_problem(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png")
    save(tmp_path / "dog" / "1.png")
    assert class_problems(list_folder(tmp_path)) == []


def test_an_empty_class_in_a_given_split_is_named_by_a_folder_that_exists(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        save(tmp_path / split / "cat" / "1.png")
        save(tmp_path / split / "dog" / "1.png")
    (tmp_path / "train" / "fox").mkdir()
    (line,) = class_problems(list_folder(tmp_path))
    assert Path(line.split(":")[0]).is_dir()


def test_an_empty_class_in_a_split_that_is_a_link_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        save(tmp_path / "other disk" / split / "cat" / "1.png")
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / split).symlink_to(tmp_path / "other disk" / split)
    (tmp_path / "other disk" / "train" / "fox[1]").mkdir()
    empty, single = class_problems(list_folder(tmp_path / "raw"))
    assert empty.startswith(f"{tmp_path}/raw/train/fox[1]: the class has no image")
    assert "only one class" in single


# Groups


def test_duplicates_are_listed_by_group() -> None:
    assert duplicates(["a", "b", "c", "d", "e"], ["1", "2", "1", "3", "2"]) == [
        ["a", "c"],
        ["b", "e"],
    ]


def test_a_label_conflict_is_a_group_with_two_labels() -> None:
    found = label_conflicts(["a", "b", "c", "d"], ["x", "x", "x", "y"], ["1", "1", "2", "2"])
    assert found == {"2": ["c (x)", "d (y)"]}


def test_each_group_of_conflicts_is_one_problem_with_its_images() -> None:
    many = [f"{number}.png (a)" for number in range(9)]
    first, second = conflict_problems([["1.png (a)", "2.png (b)"], many])
    assert first.startswith("identical images have different labels: 1.png (a), 2.png (b): ")
    assert "prepare.on_conflict to drop" in first
    assert "5.png (a) and 3 more" in second


@pytest.mark.parametrize(
    ("splits", "count"),
    [
        (["train", "train", "val", "test"], 0),
        (["train", "val", "val", "test"], 1),
        (["test", "val", "train", "train"], 2),
        (["val", "val", "train", "train"], 0),
    ],
)
def test_a_leak_is_a_validation_or_test_image_that_is_also_in_another_split(
    splits: list[str], count: int
) -> None:
    groups = ["1", "1", "2", "3"]
    assert count_leaks(groups, splits) == count


def test_two_copies_of_a_training_image_are_two_leaks() -> None:
    assert count_leaks(["1", "1", "1"], ["train", "val", "val"]) == 2


def test_conversions_are_counted_most_frequent_first() -> None:
    counts = conversion_counts([("a",), ("b", "a"), (), ("b",), ("b",)])
    assert list(counts.items()) == list(Counter("bbbaa").most_common())


def test_groups_that_repeat_are_found_by_their_hashes() -> None:
    assert repeated_hashes("abcbdd") == {hash("b"), hash("d")}
    assert repeated_hashes(iter("abc")) == set()
    assert repeated_hashes([]) == set()

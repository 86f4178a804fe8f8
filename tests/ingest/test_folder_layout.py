from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ingest.images import touch
from thaw.ingest.folder_layout import Layout, layout_of, required_layout
from thaw.ingest.folder_tree import top_folders

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.data_sections import LayoutKind


def tree(root: Path, folders: str) -> Path:
    """Create ``folders``, each with an image."""
    return touch(root, *(f"{folder}/1.png" for folder in folders.split()))


def understood(root: Path, folders: str) -> Layout:
    return layout_of(root, top_folders(tree(root, folders)))


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (
            "Training/cat Training/dog Testing/cat Testing/dog",
            {"Training": "train", "Testing": "test"},
        ),
        ("Train/cat Test/cat Val/cat", {"Train": "train", "Test": "test", "Val": "val"}),
        ("training/cat validation/cat", {"training": "train", "validation": "val"}),
        ("train_images/cat test_images/cat", {"train_images": "train", "test_images": "test"}),
        (
            "1_train/cat 2_val/cat 3_test/cat",
            {"1_train": "train", "2_val": "val", "3_test": "test"},
        ),
        ("train2017/cat val2017/cat", {"train2017": "train", "val2017": "val"}),
        ("flowers_train/cat flowers_test/cat", {"flowers_train": "train", "flowers_test": "test"}),
        (
            "train_1/cat train_2/cat test/cat",
            {"train_1": "train", "train_2": "train", "test": "test"},
        ),
        ("tr/cat va/cat te/cat", {"tr": "train", "va": "val", "te": "test"}),
        ("train/cat train/dog", {"train": "train"}),
        ("train/cat eval/cat test/cat", {"train": "train", "eval": "val", "test": "test"}),
    ],
)
def test_folders_with_names_of_splits_are_splits(
    tmp_path: Path, folders: str, splits: dict[str, str]
) -> None:
    found = understood(tmp_path, folders)
    assert (found.kind, found.problems) == ("split/class", [])
    assert found.splits == splits
    assert len(found.notes) == 1
    assert all(name in found.notes[0] for name in splits)


@pytest.mark.parametrize(
    "folders", ["cat/train cat/test dog/train dog/test", "cat/Training cat/Testing dog/Training"]
)
def test_class_folders_with_the_folders_of_splits_are_understood(
    tmp_path: Path, folders: str
) -> None:
    found = understood(tmp_path, folders)
    assert (found.kind, found.problems) == ("class/split", [])
    assert set(found.splits.values()) == {"train", "test"}
    assert "in each class folder" in found.notes[0]


@pytest.mark.parametrize(
    "folders",
    [
        "A/cat A/dog B/cat B/dog",
        "part1/cat part1/dog part1/fox part2/cat part2/dog",
        "Lehr/Katze Lehr/Hund Pruef/hund Pruef/katze",
        "cat/day cat/night dog/day dog/night",
        "images/train/cat images/train/dog labels/train/cat labels/train/dog",
        "A/photos/cat A/photos/dog B/pictures/cat B/pictures/dog",
    ],
)
def test_folders_that_all_contain_the_same_folders_are_refused_with_the_remedy(
    tmp_path: Path, folders: str
) -> None:
    (problem,) = understood(tmp_path, folders).problems
    assert "contain the same folders" in problem
    assert "name the folders of splits train, val and test" in problem
    assert "data.layout to class" in problem


@pytest.mark.parametrize(
    ("folders", "reason"),
    [
        ("train/cat test/cat unlabeled", "unlabeled beside them"),
        ("seg_train/seg_train/cat seg_test/seg_test/cat seg_pred", "seg_pred beside them"),
        ("train/cat other", "train names a split, but other beside it does not"),
        ("cats_train cats_test dogs_train dogs_test", "hold more than the split"),
        (
            "fold1_train/cat fold1_test/cat fold2_train/cat fold2_test/cat",
            "hold more than the split",
        ),
        ("train test", "no folder per class"),
        ("val/cat", "val names a split, but it is not the training split"),
        ("val/cat test/cat", "none is the training split"),
        ("train/cat val/cat test/cat eval/cat", "one of the three is too many"),
        ("trainval/cat val/cat", "validation again"),
        ("cat/train cat/test dog", "others do not, for example dog"),
        (
            "flowers/train/rose flowers/test/rose",
            "flowers contains splits, as data sets do: set data.path to one data set",
        ),
        ("a/train/rose a/test/rose b/train/rose b/test/rose", "set data.path to one data set"),
    ],
)
def test_an_unclear_layout_is_refused_with_the_reason(
    tmp_path: Path, folders: str, reason: str
) -> None:
    (problem,) = understood(tmp_path, folders).problems
    assert problem.startswith(f"{tmp_path}: ")
    assert reason in problem


@pytest.mark.parametrize("folders", ["test control", "train car bus", "valid invalid", "dev prod"])
def test_one_class_with_the_name_of_a_split_is_a_class_and_that_is_said(
    tmp_path: Path, folders: str
) -> None:
    found = understood(tmp_path, folders)
    assert (found.kind, found.problems) == ("class", [])
    assert found.notes == [f"{folders.split()[0]}: taken as a class, not as a split"]


def test_variants_of_one_name_are_classes(tmp_path: Path) -> None:
    found = understood(tmp_path, "test_positive test_negative")
    assert (found.kind, found.problems) == ("class", [])
    assert "taken as a class" in found.notes[0]


def test_languages_are_classes(tmp_path: Path) -> None:
    assert understood(tmp_path, "tr te ts de en") == Layout("class")


@pytest.mark.parametrize("folders", ["cat/day dog/night", "cat/images dog/images", "cat/day dog"])
def test_folders_in_class_folders_belong_to_the_class_and_that_is_said(
    tmp_path: Path, folders: str
) -> None:
    found = understood(tmp_path, folders)
    assert (found.kind, found.problems) == ("class", [])
    assert "belong to the class" in found.notes[0]


def test_plain_class_folders_need_no_words(tmp_path: Path) -> None:
    assert understood(tmp_path, "cat dog") == Layout("class")


def test_no_folder_is_no_problem_of_the_layout(tmp_path: Path) -> None:
    assert layout_of(tmp_path, []) == Layout("class")


# data.layout


@pytest.mark.parametrize(
    ("kind", "folders"),
    [
        ("class", "train/cat test/cat other"),
        ("class", "cat/day cat/night dog/day dog/night"),
        ("split/class", "cats_train/a cats_test/a"),
        ("class/split", "train/train train/test car/train car/test"),
    ],
)
def test_a_stated_layout_is_taken(tmp_path: Path, kind: LayoutKind, folders: str) -> None:
    found = required_layout(tmp_path, top_folders(tree(tmp_path, folders)), kind)
    assert (found.kind, found.problems) == (kind, [])


@pytest.mark.parametrize("kind", ["split/class", "class/split"])
def test_a_name_that_does_not_fit_the_stated_layout_is_refused(
    tmp_path: Path, kind: LayoutKind
) -> None:
    folders = top_folders(tree(tmp_path, "train/train train/holiday holiday/train"))
    (problem,) = required_layout(tmp_path, folders, kind).problems
    assert f"data.layout is {kind}, but holiday names no split" in problem

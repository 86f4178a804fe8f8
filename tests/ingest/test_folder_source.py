from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ingest.images import touch
from thaw.config.data_sections import LayoutKind
from thaw.errors import ThawError, grouped
from thaw.ingest.folder_source import list_folder
from thaw.ingest.listing import BadFile, Sample

if TYPE_CHECKING:
    from collections.abc import Callable


def test_each_folder_is_a_class(tmp_path: Path) -> None:
    found = list_folder(touch(tmp_path, "cat/1.png", "cat/2.jpg", "dog/1.png"))
    assert found.samples == [
        Sample("cat/1.png", "cat"),
        Sample("cat/2.jpg", "cat"),
        Sample("dog/1.png", "dog"),
    ]
    assert found.classes == ["cat", "dog"]
    assert (found.problems, found.ignored) == ([], Counter())


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_folders_train_val_and_test_give_the_splits(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "train/cat/1.png", "train/dog/1.png", f"{name}/cat/1.png", "test/dog/1.png")
    found = list_folder(tmp_path)
    assert {(sample.path, sample.label, sample.split) for sample in found.samples} == {
        ("train/cat/1.png", "cat", "train"),
        ("train/dog/1.png", "dog", "train"),
        (f"{name}/cat/1.png", "cat", "val"),
        ("test/dog/1.png", "dog", "test"),
    }
    assert found.classes == ["cat", "dog"]


def test_a_class_may_be_called_test_where_there_is_no_train_folder(tmp_path: Path) -> None:
    found = list_folder(touch(tmp_path, "test/1.png", "control/1.png"))
    assert found.classes == ["control", "test"]
    assert {sample.split for sample in found.samples} == {None}


def test_a_train_folder_next_to_class_folders_is_a_problem(tmp_path: Path) -> None:
    # Classes called train, val, test and unlabeled would be learned without a word.
    splits = [f"{split}/{label}/1.png" for split in ("train", "val", "test") for label in "ab"]
    touch(tmp_path, *splits, "unlabeled/1.png")
    told = list_folder(tmp_path).problems
    assert any("unlabeled" in problem for problem in told)


def test_images_in_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    found = list_folder(touch(tmp_path, "cat/day/1.png", "cat/night/deep/1.png", "dog/1.png"))
    assert [(sample.path, sample.label) for sample in found.samples] == [
        ("cat/day/1.png", "cat"),
        ("cat/night/deep/1.png", "cat"),
        ("dog/1.png", "dog"),
    ]


def test_hidden_files_and_folders_are_no_classes_and_are_counted(tmp_path: Path) -> None:
    found = list_folder(
        touch(
            tmp_path,
            ".ipynb_checkpoints/1.png",
            ".DS_Store",
            "cat/1.png",
            "cat/.DS_Store",
            "cat/.ipynb_checkpoints/1-checkpoint.png",
            "cat/Thumbs.db",
        )
    )
    assert found.classes == ["cat"]
    assert found.samples == [Sample("cat/1.png", "cat")]
    assert found.ignored == {"hidden files and folders": 4, "Thumbs.db": 1}
    assert found.problems == []


def test_hidden_folders_do_not_hide_a_split(tmp_path: Path) -> None:
    found = list_folder(touch(tmp_path, ".cache/x", "train/cat/1.png", "train/.x/1.png"))
    assert found.samples == [Sample("train/cat/1.png", "cat", "train")]


@pytest.mark.parametrize("place", ["1.png", "1.JPEG", "train/1.gif"])
def test_an_image_outside_any_class_folder_is_a_problem(tmp_path: Path, place: str) -> None:
    found = list_folder(touch(tmp_path, place, "train/cat/1.png"))
    assert found.bad_files == [BadFile(place, "an image outside of the class folders")]


def test_another_file_outside_the_class_folders_is_counted(tmp_path: Path) -> None:
    found = list_folder(touch(tmp_path, "LICENSE.txt", "cat/1.png"))
    assert found.ignored == {"files outside the class folders (LICENSE.txt)": 1}
    assert found.problems == []


def test_every_file_in_a_class_folder_is_listed(tmp_path: Path) -> None:
    # What is no image becomes a problem when it is read: HEIC photographs must not vanish.
    found = list_folder(touch(tmp_path, "cat/1.png", "cat/2.heic", "cat/notes"))
    assert [sample.path for sample in found.samples] == ["cat/1.png", "cat/2.heic", "cat/notes"]


def test_an_empty_class_is_still_a_class(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.png")
    (tmp_path / "dog").mkdir()
    assert list_folder(tmp_path).classes == ["cat", "dog"]


def test_a_link_to_a_folder_in_a_class_is_a_problem(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/1.png", "root/cat/1.png")
    (tmp_path / "root" / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    found = list_folder(tmp_path / "root")
    reason = "a link to a folder; such links are not followed without data.follow_links: true"
    assert found.bad_files == [BadFile("cat/more", reason, "cat")]


def test_the_order_does_not_depend_on_the_disk(tmp_path: Path) -> None:
    names = [f"{label}/{number}.png" for label in "cab" for number in (10, 9, 1)]
    found = list_folder(touch(tmp_path, *names))
    assert [sample.path for sample in found.samples] == sorted(names)


@pytest.mark.parametrize(
    "name", ["naïve.png", "🦊.png", "a b.png", 'a,"b".png', "a\nb.png", "日本/é.png"]
)
def test_any_name_is_listed_as_it_is(tmp_path: Path, name: str) -> None:
    found = list_folder(touch(tmp_path, f"名 前\n🦊/{name}"))
    assert found.samples == [Sample(f"名 前\n🦊/{name}", "名 前\n🦊")]


@pytest.mark.parametrize("make", [False, True])
def test_a_root_that_is_not_a_folder_is_refused_with_the_key(tmp_path: Path, make: bool) -> None:
    root = tmp_path / "raw"
    if make:
        root.write_text("a file")
    with pytest.raises(ThawError, match=rf"data\.path: {root} is not a folder"):
        list_folder(root)


# Splits and system folders


def test_split_folders_in_other_spellings_are_no_classes(tmp_path: Path) -> None:
    names = [f"{split}/{label}/1.png" for split in ("Training", "Testing") for label in "ab"]
    found = list_folder(touch(tmp_path, *names))
    assert found.classes == ["a", "b"]
    assert {(sample.path, sample.label, sample.split) for sample in found.samples} == {
        ("Training/a/1.png", "a", "train"),
        ("Training/b/1.png", "b", "train"),
        ("Testing/a/1.png", "a", "test"),
        ("Testing/b/1.png", "b", "test"),
    }
    assert found.notes == ["splits: train from Training, test from Testing"]


def test_splits_in_class_folders_are_read(tmp_path: Path) -> None:
    found = list_folder(touch(tmp_path, "a/train/1.png", "a/test/2.png", "b/train/3.png"))
    assert found.classes == ["a", "b"]
    assert found.samples == [
        Sample("a/test/2.png", "a", "test"),
        Sample("a/train/1.png", "a", "train"),
        Sample("b/train/3.png", "b", "train"),
    ]


def test_folders_that_all_contain_the_same_folders_are_refused(tmp_path: Path) -> None:
    names = [f"{part}/{label}/1.png" for part in ("one", "two") for label in "ab"]
    (problem,) = list_folder(touch(tmp_path, *names)).problems
    assert "contain the same folders (a, b)" in problem


def test_data_layout_decides_where_it_is_given(tmp_path: Path) -> None:
    names = [f"{part}/{label}/1.png" for part in ("train", "test") for label in "ab"]
    found = list_folder(touch(tmp_path, *names), "class")
    assert found.classes == ["test", "train"]
    assert {sample.split for sample in found.samples} == {None}
    assert found.problems == []


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "lost+found", "$RECYCLE.BIN", "Thumbnails"])
def test_folders_of_systems_are_no_classes_and_their_files_are_counted(
    tmp_path: Path, name: str
) -> None:
    places = ["", "cat/", "cat/day/"]
    files = [f"{place}{name}/{number}.png" for place in places for number in range(2)]
    found = list_folder(touch(tmp_path, *files, "cat/1.png", "dog/1.png"))
    assert found.classes == ["cat", "dog"]
    assert [sample.path for sample in found.samples] == ["cat/1.png", "dog/1.png"]
    assert found.ignored == {f"files in folders {name}": 6}
    assert found.problems == []


def test_folders_of_systems_do_not_hide_splits(tmp_path: Path) -> None:
    found = list_folder(
        touch(tmp_path, "@eaDir/1.png", "train/@eaDir/1.png", "train/a/1.png", "test/a/1.png")
    )
    assert found.classes == ["a"]
    assert {sample.split for sample in found.samples} == {"train", "test"}
    assert found.ignored == {"files in folders @eaDir": 2}


def test_many_images_outside_of_the_class_folders_are_grouped_in_a_message(tmp_path: Path) -> None:
    names = [f"test/{number}.jpg" for number in range(30)]
    found = list_folder(touch(tmp_path, "train/a/1.png", "train/b/1.png", *names))
    lines = grouped(bad.line(tmp_path) for bad in found.bad_files)
    assert len(found.bad_files) == 30
    assert lines[0] == f"{tmp_path / 'test/0.jpg'}: an image outside of the class folders"
    assert lines[-1] == "and 27 more of this kind"


# For all trees

FOLDERS = st.sampled_from(
    ["cat", "Cat", "train", "Testing", "val", "eval", "@eaDir", "thumbs", "a b", "trainval", "dog"]
)
FILES = st.sampled_from(["1.png", "2.JPG", "notes.txt", "Thumbs.db"])
PATHS = st.builds(
    lambda parents, name: "/".join([*parents, name]), st.lists(FOLDERS, max_size=4), FILES
)


@pytest.mark.property
@given(st.sets(PATHS, max_size=12), st.sampled_from(["auto", *get_args(LayoutKind)]))
def test_every_file_is_listed_or_bad_or_counted(
    paths: set[str], kind: Literal["auto"] | LayoutKind
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = list_folder(touch(Path(folder), *paths), kind)
    listed = [sample.path for sample in found.samples] + [bad.path for bad in found.bad_files]
    assert len(listed) == len(set(listed))
    assert set(listed) <= paths
    assert len(listed) + found.ignored.total() == len(paths)
    assert {sample.label for sample in found.samples} <= set(found.classes)
    assert {sample.split for sample in found.samples} <= {None, "train", "val", "test"}
    assert found.problems or len({sample.split is None for sample in found.samples}) <= 1


@pytest.mark.property
@given(
    st.sampled_from(["{}", "{}_images", "IMAGES-{}", "my {} set", "{}2017", "flowers {}"]),
    st.sampled_from([str.lower, str.upper, str.title]),
    st.permutations(["train", "val", "test"]),
    st.sets(st.sampled_from(["cat", "test", "train", "Dog", "1"]), min_size=2),
)
def test_splits_in_any_usual_spelling_are_taken_whatever_the_classes_are_called(
    pattern: str, case: Callable[[str], str], splits: list[str], classes: set[str]
) -> None:
    names = {split: case(pattern.format(split)) for split in splits}
    paths = [f"{name}/{label}/1.png" for name in names.values() for label in classes]
    with tempfile.TemporaryDirectory() as folder:
        found = list_folder(touch(Path(folder), *paths))
    assert found.problems == []
    assert found.classes == sorted(classes)
    assert {(sample.split, sample.path.split("/")[0]) for sample in found.samples} == {
        *names.items()
    }

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from thaw.config.data_sections import Data
from thaw.errors import ThawError
from thaw.ingest.sources import SOURCES, Listing, Sample, list_csv, list_folder, list_images


def touch(root: Path, *names: str) -> Path:
    """Create empty files: listing does not open them."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def table(folder: Path, content: str | bytes) -> Listing:
    """List a CSV file of this content, with its images in the same folder."""
    path = folder / "images.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list_csv(path, folder)


# Folders


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
    (problem,) = found.problems
    assert problem == f"{tmp_path / place}: an image outside of the class folders"


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
    told = [sample.path for sample in found.samples] + found.problems + list(found.ignored)
    assert any("more" in line or "link" in line for line in told)


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


# CSV


def test_a_csv_file_may_have_no_column_split(tmp_path: Path) -> None:
    found = table(tmp_path, "label,path,size\ndog,x/1.png,9\ncat,2.png,9\n")
    assert found.samples == [Sample("x/1.png", "dog"), Sample("2.png", "cat")]
    assert found.classes == ["cat", "dog"]


def test_a_csv_file_may_give_the_splits(tmp_path: Path) -> None:
    found = table(tmp_path, "path,label,split\n1.png,a,train\n2.png,a,val\n3.png,b,test\n")
    assert [sample.split for sample in found.samples] == ["train", "val", "test"]
    assert found.problems == []


@pytest.mark.parametrize("value", ["valid", "Train", "", " train"])
def test_a_row_with_an_unknown_split_is_a_problem(tmp_path: Path, value: str) -> None:
    found = table(tmp_path, f"path,label,split\n1.png,a,train\n2.png,a,{value}\n")
    (problem,) = found.problems
    assert problem.startswith(f"{tmp_path / 'images.csv'}, line 3: split is ")
    assert "must be one of train, val, test" in problem


def test_an_image_that_is_listed_twice_is_a_problem(tmp_path: Path) -> None:
    found = table(tmp_path, "path,label\n1.png,a\n2.png,a\n1.png,b\n")
    assert found.problems == [f"{tmp_path / 'images.csv'}, line 4: 1.png is listed twice"]
    assert len(found.samples) == 2


@pytest.mark.parametrize("row", ["1.png", "1.png,", ",a", ","])
def test_a_row_without_a_path_or_label_is_a_problem(tmp_path: Path, row: str) -> None:
    found = table(tmp_path, f"path,label\n{row}\n")
    assert found.problems == [f"{tmp_path / 'images.csv'}, line 2: the path or the label is empty"]


def test_every_bad_row_is_listed(tmp_path: Path) -> None:
    found = table(tmp_path, "path,label,split\n1.png,,train\n2.png,a,dev\n3.png,a,val\n3.png,a,val")
    assert [problem.split(":")[0][-6:] for problem in found.problems] == [
        "line 2",
        "line 3",
        "line 5",
    ]


@pytest.mark.parametrize(
    ("header", "right"),
    [
        ("file,label", "no column path; it has file, label"),
        ("path,class", "no column label; it has path, class"),
        ("path;label", "no column label and no column path; it has path;label"),
        ("", "it has nothing"),
    ],
)
def test_a_missing_column_is_reported_with_the_columns_of_the_file(
    tmp_path: Path, header: str, right: str
) -> None:
    with pytest.raises(ThawError) as caught:
        table(tmp_path, f"{header}\n1.png,a\n" if header else "")
    assert str(caught.value).startswith(f"{tmp_path / 'images.csv'}: ")
    assert right in str(caught.value)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    found = table(tmp_path, b"\xef\xbb\xbfpath,label\r\n1.png,a\r\n2.png,b\r\n")
    assert found.samples == [Sample("1.png", "a"), Sample("2.png", "b")]


def test_quoted_names_may_hold_commas_and_newlines(tmp_path: Path) -> None:
    found = table(tmp_path, 'path,label\n"a,\n""b"".png","one, two"\n')
    assert found.samples == [Sample('a,\n"b".png', "one, two")]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("path,label\né.png,a\n".encode("latin-1"), id="not UTF-8"),
        pytest.param(b"path,label\n" + b"a" * 200_000 + b",a\n", id="an endless field"),
    ],
)
def test_a_file_that_is_not_csv_in_utf_8_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ThawError, match=r"images\.csv"):
        table(tmp_path, content)


def test_a_missing_file_or_root_is_refused_with_the_key(tmp_path: Path) -> None:
    path = tmp_path / "images.csv"
    with pytest.raises(ThawError, match=r"data\.path: .*images\.csv is not a file"):
        list_csv(path, tmp_path)
    path.write_text("path,label\n")
    with pytest.raises(ThawError, match=r"data\.root: .*nowhere is not a folder"):
        list_csv(path, tmp_path / "nowhere")


# Kinds of sources


def test_the_digits_are_1797_images_of_ten_classes(tmp_path: Path) -> None:
    found = list_images(Data(source="digits", path="not read", root="not read"), tmp_path)
    assert found.classes == [str(digit) for digit in range(10)]
    assert len(found.samples) == 1797
    assert (found.problems, found.ignored) == ([], Counter())
    pixels = np.asarray([Image.open(tmp_path / sample.path) for sample in found.samples[:100]])
    assert pixels.shape == (100, 8, 8)
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_data_source_chooses_between_folder_and_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    touch(Path("raw"), "cat/1.png")
    Path("images.csv").write_text("path,label\ncat/1.png,dog\n")
    scratch = Path("scratch")
    folder = list_images(Data(source="folder", path="raw", root="not read"), scratch)
    rows = list_images(Data(source="csv", path="images.csv", root="raw"), scratch)
    assert folder.samples == [Sample("cat/1.png", "cat")]
    assert rows.samples == [Sample("cat/1.png", "dog")]
    assert not scratch.exists()


def test_every_value_of_data_source_has_a_source() -> None:
    assert set(SOURCES) == set(get_args(Data.model_fields["source"].annotation))


def test_a_source_names_the_keys_that_it_reads() -> None:
    keys = {name: source.keys for name, source in SOURCES.items()}
    assert keys == {"digits": (), "folder": ("path",), "csv": ("path", "root")}

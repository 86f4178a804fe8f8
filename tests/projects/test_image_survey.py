from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests import tiny
from tests.ingest.images import save
from thaw.errors import ThawError
from thaw.projects.image_survey import survey


def test_a_folder_per_class_is_counted_and_measured(tmp_path: Path) -> None:
    found = survey(tiny.images(tmp_path / "photos", each=5, size=24))
    assert found.data.source == "folder"
    assert found.counts == {"blue": 5, "green": 5, "red": 5}
    assert found.median_side == 24
    assert not found.splits
    assert not found.problems


def test_split_folders_are_recognized(tmp_path: Path) -> None:
    for split, each in (("train", 4), ("val", 2), ("test", 1)):
        tiny.images(tmp_path / "photos" / split, each=each)
    found = survey(tmp_path / "photos")
    assert found.splits == {"train": 12, "val": 6, "test": 3}
    assert found.counts == {"blue": 7, "green": 7, "red": 7}


def test_a_csv_file_is_recognized(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", each=2)
    (images / "labels.csv").write_text("path,label\nblue/000.png,sea\nred/000.png,fire\n")
    found = survey(images / "labels.csv")
    assert (found.data.source, found.data.root) == ("csv", str(images))
    assert found.counts == {"fire": 1, "sea": 1}


def _table(file: Path, paths: list[Path | str]) -> Path:
    """Write a CSV file that gives the images the labels sea and fire in turn."""
    rows = [f"{path},{('sea', 'fire')[place % 2]}\n" for place, path in enumerate(paths)]
    file.parent.mkdir(exist_ok=True)
    file.write_text("path,label\n" + "".join(rows))
    return file


def test_absolute_paths_of_a_csv_file_may_be_in_another_folder(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", each=6)
    found = survey(_table(tmp_path / "tables" / "labels.csv", sorted(images.rglob("*.png"))))
    assert (found.data.root, found.problems) == (str(images), [])


def test_the_folder_of_absolute_paths_in_the_project_is_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tiny.images(tmp_path / "photos", each=6)
    monkeypatch.chdir(tmp_path)
    found = survey(_table(tmp_path / "labels.csv", sorted(images.rglob("*.png"))))
    assert found.data.root == "photos"


def test_the_root_of_the_file_system_is_never_the_data_folder(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", each=2)
    table = _table(tmp_path / "labels.csv", [*images.rglob("*.png"), "/none/1.png"])
    found = survey(table)
    assert found.data.root == str(tmp_path)
    assert any(line.startswith("/none/1.png: ") for line in found.problems)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("photos/none.png", "No such file or directory"),
        ("file:///photos/1.png", "No such file or directory"),
        ("..\\photos\\1.png", "No such file or directory"),
        ("../1.png", "is outside the data folder"),
    ],
)
def test_paths_of_a_csv_file_that_prepare_will_refuse_are_problems(
    path: str, reason: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    images = tiny.images(home / "photos", each=4)
    shutil.copy(next(images.rglob("*.png")), tmp_path / "1.png")
    paths = sorted(str(each.relative_to(home)) for each in images.rglob("*.png"))
    (line,) = survey(_table(home / "labels.csv", [*paths, path])).problems
    assert reason in line


def test_a_link_without_a_target_is_a_problem(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", each=4)
    (images / "red" / "gone.png").symlink_to(images / "red" / "none.png")
    (line,) = survey(images).problems
    assert "gone.png: a link to red/none.png, which does not exist" in line


def test_problems_that_prepare_will_refuse_are_listed(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", classes=("red",), each=2)
    (images / "empty").mkdir()
    problems = "\n".join(survey(images).problems)
    assert "there is only one class" in problems
    assert "empty: the class has no image" in problems


def test_entries_of_a_class_that_are_no_readable_file_are_listed(tmp_path: Path) -> None:
    root = tiny.images(tmp_path / "photos", each=5)
    (root / "blue/link.png").symlink_to("/nowhere.png")
    os.mkfifo(root / "red/pipe.png")
    (root / "red" / os.fsdecode(b"\xff.png")).touch()
    os.mkfifo(root / "red/.hidden")
    os.mkfifo(root / "beside")  # not in a class: nothing reads it
    assert survey(root).problems == [
        f"{root}/blue/link.png: a link to /nowhere.png, which does not exist",
        f"{root}/red/pipe.png: not a file: a named pipe",
        f"{root}/red/\\udcff.png: the file's name is not valid UTF-8",
    ]


def test_a_class_whose_name_is_not_valid_text_is_listed(tmp_path: Path) -> None:
    root = tiny.images(tmp_path / "photos", each=5)
    (root / "blue").rename(root / os.fsdecode(b"\xff"))
    assert f"{root}/\\udcff/000.png: the file's name is not valid UTF-8" in survey(root).problems


def test_a_text_file_beside_the_images_is_a_problem_of_the_survey(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", each=6)
    (images / "red/readme.txt").write_text("The licence of these images.\n")
    shutil.copy(images / "red/000.png", images / "red/of another name.dat")
    assert [line for line in survey(images).problems if ".txt" in line or ".dat" in line] == [
        f"{images}/red/readme.txt: not an image: text"
    ]


def test_shapes_that_prepare_will_refuse_are_listed(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", each=3)
    Image.new("RGB", (301, 3)).save(images / "red/line.png")
    Image.new("RGB", (300, 3)).save(images / "red/band.png")
    (problem,) = survey(images).problems
    assert problem.startswith(f"{images}/red/line.png: 301 x 3 pixels: one side is more than 100")


def test_notes_say_how_the_folders_were_understood(tmp_path: Path) -> None:
    for split in ("Training", "Testing"):
        tiny.images(tmp_path / "photos" / split, each=3)
    found = survey(tmp_path / "photos")
    assert found.splits == {"train": 9, "test": 9}
    assert found.notes[0] == "splits: train from Training, test from Testing"
    assert "no val split" in found.notes[1]


@pytest.mark.parametrize("classes", [(), ("red",)])
def test_fewer_than_two_classes_are_useless(tmp_path: Path, classes: tuple[str, ...]) -> None:
    (tmp_path / "photos").mkdir()
    images = tiny.images(tmp_path / "photos", classes=classes, each=2)
    (images / "empty").mkdir()
    with pytest.raises(ThawError, match=r"^--images: "):
        survey(images).refuse_useless()


def test_a_folder_around_a_data_set_is_refused_with_one_remedy(tmp_path: Path) -> None:
    for split in ("train", "test"):
        save(tmp_path / "flowers" / split / "rose" / f"{split}.png")
    with pytest.raises(ThawError) as caught:
        survey(tmp_path).refuse_useless()
    assert "set data.path to one data set, for example" in str(caught.value)
    assert "only one class" not in str(caught.value)
    assert "CSV file" not in str(caught.value)


def test_two_classes_with_images_are_of_use(tmp_path: Path) -> None:
    survey(tiny.images(tmp_path / "photos", classes=("red", "blue"), each=2)).refuse_useless()


def test_a_single_image_and_an_archive_are_refused_with_what_to_give(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", each=1)
    with pytest.raises(ThawError, match=r"000.png is one image: give a folder with a folder"):
        survey(images / "red/000.png")
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", images)
    with pytest.raises(
        ThawError, match=r"is an archive: unpack it and give the folder with the images$"
    ):
        survey(Path(archive))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train.parquet", "is one file of a data set: give its folder instead$"),
        ("coco.json", "is JSON: give a folder with a folder per class, or a CSV file with the"),
    ],
)
def test_a_file_of_another_format_is_refused_with_what_to_give(
    tmp_path: Path, name: str, expected: str
) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(ThawError, match=expected):
        survey(tmp_path / name)


def test_a_single_shard_is_refused_and_tar_files_beside_images_are_not_read(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", each=1)
    shard = Path(shutil.make_archive(str(tmp_path / "0"), "tar", images))
    with pytest.raises(ThawError, match="if it is a shard of the webdataset format, give the fol"):
        survey(shard)
    shutil.copy(shard, images)
    assert survey(images).counts == {"blue": 1, "green": 1, "red": 1}


def test_an_image_that_cannot_be_read_is_left_out_of_the_sizes(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", each=2)
    (images / "red" / "broken.png").write_bytes(b"no image")
    found = survey(images)
    assert len(found.short_sides) == 6
    assert found.counts["red"] == 3


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=r"--images: there is no .*: give a folder of images"):
        survey(tmp_path / "photos")


def test_classes_with_too_few_images_for_three_splits_are_problems_unless_splits_are_given(
    tmp_path: Path,
) -> None:
    few = tiny.images(tmp_path / "few", classes=("blue", "green"), each=2)
    tiny.images(few, classes=("red",), each=3)
    problems = survey(few).problems
    assert [line.partition(" (")[0] for line in problems] == [
        "class 'blue' has 2 distinct images",
        "class 'green' has 2 distinct images",
    ]
    for split in ("train", "val", "test"):
        tiny.images(tmp_path / "split" / split, each=1)
    assert not survey(tmp_path / "split").problems


@pytest.mark.parametrize(
    ("table", "remedy"),
    [("labels.csv", "give it: --images "), ("notes.txt", "put the images of each class into")],
)
def test_images_without_class_folders_are_refused_with_what_to_give(
    tmp_path: Path, table: str, remedy: str
) -> None:
    images = tiny.images(tmp_path / "photos", classes=("pictures",), each=3)
    (images / table).write_text("path,label\n")
    with pytest.raises(ThawError, match=remedy):
        survey(images).refuse_useless()

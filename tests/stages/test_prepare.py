from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from tests import settings, tiny
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.data import manifest
from thaw.data.packed_store import PackedStore
from thaw.data.prepared import Prepared
from thaw.data.split_names import SPLITS
from thaw.errors import ProblemsError
from thaw.ingest.csv_source import list_csv
from thaw.ingest.folder_source import list_folder
from thaw.stages import prepare

SHIPPED = Path(__file__).parents[2] / "params.yaml"


def params(seed: int = 0, **changes: Any) -> Params:
    values: dict[str, Any] = {
        "val_fraction": 0.25,
        "test_fraction": 0.34,
        "short_side": 64,
        "encoding": "raw",
        "max_megapixels": 1.0,
    }
    return settings.PARAMS.model_copy(
        update={"seed": seed, "prepare": settings.prepare(**{**values, **changes})}
    )


def out(folder: Path, name: str = "prepared") -> Path:
    (folder / name).mkdir()
    return folder / name


def given_split(root: Path) -> Path:
    """tests.tiny.images below train/ (12 a class), val/ and test/ (3 each), all different."""
    tiny.images(root / "train")
    for number, split in enumerate(("val", "test")):
        for label in ("blue", "green", "red"):
            (root / split / label).mkdir(parents=True)
            for image in range(3):
                colour = (number + 1, image, len(label))
                Image.new("RGB", (9, 9), colour).save(root / split / label / f"{image}.png")
    return root


def complaint(root: Path, folder: Path) -> list[str]:
    """Return the problems that preparing ``root`` reports."""
    with pytest.raises(ProblemsError) as caught:
        prepare.run(params(), list_folder(root), folder)
    return caught.value.problems


# What is written


def test_every_image_is_in_the_manifest_and_in_the_store(tmp_path: Path) -> None:
    root, folder = tiny.images(tmp_path / "raw"), out(tmp_path)
    prepare.run(params(), list_folder(root), folder)
    found, store = manifest.read(folder), PackedStore(folder)
    assert found.classes == ["blue", "green", "red"]
    assert len(found.rows) == len(store) == 36
    for row in found.rows:
        content = (root / row.path).read_bytes()
        assert row.digest == hashlib.sha256(content).hexdigest()
        assert row.label == row.path.split("/")[0]
        assert np.array_equal(store.read(row.id), np.asarray(Image.open(root / row.path)))


def test_the_report_tells_what_the_manifest_says(tmp_path: Path) -> None:
    root, folder = tiny.images(tmp_path / "raw"), out(tmp_path)
    (root / "blue" / ".DS_Store").write_bytes(b"")
    report = prepare.run(params(), list_folder(root), folder)
    found = manifest.read(folder)
    assert report["digest"] == found.digest
    assert report["splits"] == {split: len(found.ids(split)) for split in SPLITS}
    assert report["splits"] == {"train": 15, "val": 9, "test": 12}
    assert report["ignored"] == {"hidden files and folders": 1}
    assert report["images_in_two_splits"] == 0


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_prepare_writes_the_same_bytes_when_it_runs_again_on_the_same_images(
    tmp_path: Path, encoding: str
) -> None:
    root = tiny.images(tmp_path / "raw")
    first, second = out(tmp_path, "first"), out(tmp_path, "second")
    for folder in (first, second):
        prepare.run(params(encoding=encoding), list_folder(root), folder)
    names = sorted(path.name for path in first.iterdir())
    assert names == ["images.bin", "index.npy", "manifest.csv", "pack.json"]
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_the_seed_changes_the_split_and_nothing_else(tmp_path: Path) -> None:
    root = tiny.images(tmp_path / "raw")
    first, second = out(tmp_path, "first"), out(tmp_path, "second")
    prepare.run(params(seed=0), list_folder(root), first)
    prepare.run(params(seed=1), list_folder(root), second)
    assert (first / "images.bin").read_bytes() == (second / "images.bin").read_bytes()
    assert (first / "manifest.csv").read_bytes() != (second / "manifest.csv").read_bytes()


def test_a_changed_image_changes_the_digest_of_the_data(tmp_path: Path) -> None:
    root = tiny.images(tmp_path / "raw")
    before = prepare.run(params(), list_folder(root), out(tmp_path, "before"))
    path = root / "red" / "003.png"
    pixels = np.array(Image.open(path))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    after = prepare.run(params(), list_folder(root), out(tmp_path, "after"))
    assert before["digest"] != after["digest"]


def test_any_name_comes_through_to_the_manifest(tmp_path: Path) -> None:
    root = tiny.images(tmp_path / "raw", classes=("a, b", "line\nbreak", "🦊 naïve"), each=3)
    for number, name in enumerate(("日本.png", "two words.png", 'a\n"b",c.png')):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(root / "🦊 naïve" / name)
    listed = list_folder(root)
    folder = out(tmp_path)
    prepare.run(params(), listed, folder)
    found = [(row.path, row.label) for row in manifest.read(folder).rows]
    assert found == [(sample.path, sample.label) for sample in listed.samples]


# Splits


def test_copies_never_stand_in_two_splits(tmp_path: Path) -> None:
    root = tiny.images(tmp_path / "raw")
    for path in sorted(root.rglob("*.png")):
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
        Image.open(path).save(path.with_suffix(".bmp"))  # other bytes, the same pixels
    folder = out(tmp_path)
    report = prepare.run(params(), list_folder(root), folder)
    places: dict[bytes, set[str]] = defaultdict(set)
    for row in manifest.read(folder).rows:
        pixels = np.asarray(Image.open(root / row.path)).tobytes()
        places[pixels].add(row.split)
    assert len(places) == 36
    assert {len(splits) for splits in places.values()} == {1}
    assert report["duplicate_groups"] == 36
    assert report["images_in_two_splits"] == 0


def near_duplicates(root: Path, each: int = 12) -> Path:
    """Smooth random pictures, of each a smaller, a paler and a JPEG version beside it."""
    generator = np.random.default_rng(0)
    for label in ("blue", "red"):
        (root / label).mkdir(parents=True)
        for number in range(each):
            coarse = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)
            image.save(root / label / f"{number:02d}.png")
            image.resize((40, 48)).save(root / label / f"{number:02d} small.png")
            image.point(lambda value: value // 2 + 60).save(root / label / f"{number:02d} pale.png")
            image.save(root / label / f"{number:02d} again.jpg", quality=60)
    return root


def places_of_versions(folder: Path) -> Counter[int]:
    """Count the pictures by the number of splits that contain a version of them."""
    splits: dict[str, set[str]] = defaultdict(set)
    for row in manifest.read(folder).rows:
        splits[row.path[: row.path.index("/") + 3]].add(row.split)
    return Counter(len(found) for found in splits.values())


@pytest.mark.slow
def test_near_duplicates_never_stand_in_two_splits(tmp_path: Path) -> None:
    root, folder = near_duplicates(tmp_path / "raw"), out(tmp_path)
    report = prepare.run(params(near_duplicates=6), list_folder(root), folder)
    assert places_of_versions(folder) == {1: 24}
    assert report["near_duplicates"]["groups"] == 24
    assert report["near_duplicates"]["label_conflict_groups"] == 0
    assert report["splits"] == {"train": 40, "val": 24, "test": 32}
    apart = out(tmp_path, "apart")
    report = prepare.run(params(), list_folder(root), apart)
    assert report["near_duplicates"] is None
    assert places_of_versions(apart)[1] < 12


def test_a_near_duplicate_with_another_label_is_told_and_goes_where_its_like_goes(
    tmp_path: Path,
) -> None:
    root, folder = near_duplicates(tmp_path / "raw"), out(tmp_path)
    shutil.move(root / "red" / "03 small.png", root / "blue" / "99.png")
    report = prepare.run(params(near_duplicates=6), list_folder(root), folder)
    (names,) = report["near_duplicates"]["label_conflicts"]
    assert "blue/99.png (blue)" in names
    assert "red/03.png (red)" in names
    splits = {row.path: row.split for row in manifest.read(folder).rows}
    assert splits["blue/99.png"] == splits["red/03.png"]


def test_a_class_of_nothing_but_near_duplicates_is_refused_with_the_reason(tmp_path: Path) -> None:
    root = near_duplicates(tmp_path / "raw", each=2)
    prepare.run(params(), list_folder(root), out(tmp_path))
    with pytest.raises(ProblemsError) as caught:
        prepare.run(params(near_duplicates=6), list_folder(root), out(tmp_path, "near"))
    blue, red, reason = caught.value.problems
    assert blue.startswith("class 'blue' has 2 distinct images")
    assert red.startswith("class 'red' has 2 distinct images")
    assert "prepare.near_duplicates" in reason


def test_a_split_that_the_folders_bring_is_kept(tmp_path: Path) -> None:
    root, folder = given_split(tmp_path / "raw"), out(tmp_path)
    report = prepare.run(params(), list_folder(root), folder)
    assert report["splits"] == {"train": 36, "val": 9, "test": 9}
    for row in manifest.read(folder).rows:
        assert row.path.split("/")[:2] == [row.split, row.label]


def test_a_split_that_a_csv_brings_is_kept(tmp_path: Path) -> None:
    root, folder = tiny.images(tmp_path / "raw"), out(tmp_path)
    given = {
        f"{label}/{number:03d}.png": SPLITS[number % 3]
        for label in ("blue", "green", "red")
        for number in range(12)
    }
    with (tmp_path / "images.csv").open("w", newline="") as stream:
        rows = [(path, path.split("/")[0], split) for path, split in given.items()]
        csv.writer(stream).writerows([("path", "label", "split"), *rows])
    prepare.run(params(), list_csv(tmp_path / "images.csv", root), folder)
    assert {row.path: row.split for row in manifest.read(folder).rows} == given


def test_a_given_split_is_kept_where_it_leaks_and_the_leak_is_told(tmp_path: Path) -> None:
    root = given_split(tmp_path / "raw")
    shutil.copy(root / "train" / "red" / "000.png", root / "test" / "red" / "leaked.png")
    folder = out(tmp_path)
    report = prepare.run(params(), list_folder(root), folder)
    assert report["images_in_two_splits"] == 1
    assert "test/red/leaked.png" in report["duplicates"][0]
    splits = {row.path: row.split for row in manifest.read(folder).rows}
    assert splits["test/red/leaked.png"] == "test"


def test_a_given_split_that_leaves_a_class_out_is_refused(tmp_path: Path) -> None:
    root = given_split(tmp_path / "raw")
    shutil.rmtree(root / "val" / "green")
    shutil.rmtree(root / "test" / "red")
    assert complaint(root, out(tmp_path)) == [
        "class 'green' has no image in the val split: move some there, or remove the class",
        "class 'red' has no image in the test split: move some there, or remove the class",
    ]


def test_a_missing_validation_split_is_drawn_and_said(tmp_path: Path) -> None:
    root, folder = given_split(tmp_path / "raw"), out(tmp_path)
    shutil.rmtree(root / "val")
    (root / "train").rename(root / "Training")
    (root / "test").rename(root / "Testing")
    report = prepare.run(params(), list_folder(root), folder)
    assert report["splits"] == {"train": 27, "val": 9, "test": 9}
    assert report["notes"] == [
        "splits: train from Training, test from Testing",
        "the source has no val split: 25% of the training images of each class are drawn for it "
        "(prepare.val_fraction)",
    ]


# Labels


def conflicts(root: Path) -> Path:
    """tests.tiny.images with a red image in blue, twice."""
    tiny.images(root)
    shutil.copy(root / "red" / "003.png", root / "blue" / "x.png")
    Image.open(root / "red" / "003.png").save(root / "blue" / "y.bmp")
    return root


def test_identical_images_in_two_classes_are_refused(tmp_path: Path) -> None:
    (problem,) = complaint(conflicts(tmp_path / "raw"), out(tmp_path))
    assert "blue/x.png (blue), blue/y.bmp (blue), red/003.png (red)" in problem


def test_identical_images_in_two_classes_are_left_out_on_request(tmp_path: Path) -> None:
    root, folder = conflicts(tmp_path / "raw"), out(tmp_path)
    report = prepare.run(params(on_conflict="drop"), list_folder(root), folder)
    assert report["dropped_conflicts"] == [
        ["blue/x.png (blue)", "blue/y.bmp (blue)", "red/003.png (red)"]
    ]
    found, store = manifest.read(folder), PackedStore(folder)
    assert report["images"] == len(found.rows) == len(store) == 35
    for number, row in enumerate(found.rows):
        assert row.id == number
        assert np.array_equal(store.read(row.id), np.asarray(Image.open(root / row.path)))


@pytest.mark.parametrize("damaged", [False, True])
def test_a_class_of_whose_images_none_is_left_is_refused(tmp_path: Path, *, damaged: bool) -> None:
    root = tiny.images(tmp_path / "raw")
    (root / "copy").mkdir()
    for number in range(3):
        shutil.copy(root / "red" / f"00{number}.png", root / "copy")
    chosen = quarantine(1.0) if damaged else params()
    if damaged:
        (root / "copy" / "000.png").write_bytes(b"nothing")
    section = chosen.prepare.model_copy(update={"on_conflict": "drop"})
    with pytest.raises(ProblemsError) as caught:
        prepare.run(
            chosen.model_copy(update={"prepare": section}), list_folder(root), out(tmp_path)
        )
    (line,) = caught.value.problems
    assert line.startswith("class 'copy': none of its images is left (of 3)")


def test_labels_that_look_alike_are_refused_unless_they_are_kept(tmp_path: Path) -> None:
    root = tiny.images(tmp_path / "raw", classes=("red", "Red", "blue"))
    (problem,) = complaint(root, out(tmp_path))
    assert "'Red' (12 images), 'red' (12 images) look alike" in problem
    kept = out(tmp_path, "kept")
    report = prepare.run(params(on_similar_labels="keep"), list_folder(root), kept)
    assert report["classes"] == 3


# What is refused


def test_all_corrupt_files_are_listed_at_once_by_their_paths(tmp_path: Path) -> None:
    root = tiny.images(tmp_path / "raw")
    whole = (root / "red" / "000.png").read_bytes()
    bad = {
        root / "blue" / "003.png": b"",
        root / "blue" / "005.jpg": b"<html></html>",
        root / "green" / "007.png": whole[: len(whole) // 2],
        root / "red" / "notes.txt": b"some text",
    }
    for path, content in bad.items():
        path.write_bytes(content)
    problems = complaint(root, out(tmp_path))
    assert [line.split(": ")[0] for line in problems] == [str(path) for path in bad]


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    root = tiny.images(tmp_path / "raw")
    (root / "empty").mkdir()
    (root / "few").mkdir()
    for number in range(2):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(root / "few" / f"{number}.png")
    shutil.copy(root / "red" / "000.png", root / "lost.png")
    (root / "red" / "001.png").write_bytes(b"")
    (root / "red" / "002.png").unlink()
    (root / "red" / "002.png").symlink_to(SHIPPED)
    problems = "\n".join(complaint(root, out(tmp_path)))
    for expected in (
        f"{root / 'lost.png'}: an image outside of the class folders",
        f"{root / 'red' / '001.png'}: the file is empty",
        f"{root / 'red' / '002.png'}: is outside the data folder",
        f"{root / 'empty'}: the class has no image",
        "class 'few' has 2 distinct images",
    ):
        assert expected in problems
    assert problems.count("\n") == 4


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    (line,) = complaint(tiny.images(tmp_path / "raw", classes=("red",)), out(tmp_path))
    assert "only one class (red)" in line


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    assert complaint(tmp_path / "raw", out(tmp_path)) == [
        f"{tmp_path / 'raw'}: contains no images: put a folder of images for each class there"
    ]


# The stage


COMMAND = [sys.executable, "-m", "thaw.stages.prepare"]


def write_params(folder: Path, **data: str) -> None:
    content = YAML(typ="safe").load(SHIPPED)
    content["data"].update(data)
    with (folder / "params.yaml").open("w") as stream:
        YAML(typ="safe").dump(content, stream)


def run_stage(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(COMMAND, cwd=folder, capture_output=True, text=True)


def stage(folder: Path, **data: str) -> subprocess.CompletedProcess[str]:
    """Run the stage in ``folder``, as DVC does."""
    write_params(folder, **data)
    return run_stage(folder)


@pytest.mark.slow
def test_the_stage_writes_the_data_and_the_report(tmp_path: Path) -> None:
    tiny.images(tmp_path / "data" / "raw")
    result = stage(tmp_path, source="folder")
    assert result.returncode == 0, result.stderr
    assert "prepared 36 images in 3 classes: " in result.stderr
    report = json.loads((tmp_path / "reports/prepare/report.json").read_text(encoding="utf-8"))
    assert report["digest"] == manifest.read(tmp_path / "data/prepared").digest
    assert Image.open(tmp_path / "reports/prepare/samples.png").width > 100


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are always Unicode")
def test_a_name_that_is_not_utf_8_is_passed_over_without_a_traceback(tmp_path: Path) -> None:
    root = tiny.images(tmp_path / "data" / "raw")
    (root / os.fsdecode(b"caf\xe9.txt")).write_text("not an image")
    result = stage(tmp_path, source="folder")
    assert "Traceback" not in result.stderr
    report = json.loads((tmp_path / "reports/prepare/report.json").read_text(encoding="utf-8"))
    assert list(report["ignored"].values()) == [1]


@pytest.mark.slow
def test_the_stage_ends_a_mistake_with_its_lines_and_no_traceback(tmp_path: Path) -> None:
    root = tiny.images(tmp_path / "data" / "raw")
    (root / "red" / "000.png").write_bytes(b"")
    result = stage(tmp_path, source="folder")
    assert result.returncode == 2
    summary, problem, remedy = result.stderr.splitlines()
    assert summary.startswith("error: the data cannot be used")
    assert problem == "  - data/raw/red/000.png: the file is empty"
    assert remedy == (
        "repair or remove bad files, or set data.on_error to quarantine to leave them out"
    )


@pytest.mark.slow
def test_the_stage_refuses_a_data_folder_that_is_not_there(tmp_path: Path) -> None:
    result = stage(tmp_path, source="folder", path="data/nowhere")
    assert result.returncode == 2
    assert result.stderr == (
        "error: data.path: data/nowhere is not a folder: set it to the folder that has one folder "
        "per class\n"
    )


@pytest.mark.slow
def test_nothing_stays_of_a_run_with_other_settings(tmp_path: Path) -> None:
    tiny.images(tmp_path / "data" / "raw")
    assert stage(tmp_path).returncode == 0
    prepared = tmp_path / "data/prepared"
    (prepared / ".pack.json.7.part").write_bytes(b"of a killed run")
    (prepared / "mine.png").write_bytes(b"of the user")
    digits = prepared.joinpath("images.bin").stat().st_size
    assert stage(tmp_path, source="folder").returncode == 0
    names = sorted(path.name for path in prepared.iterdir())
    assert names == ["images.bin", "index.npy", "manifest.csv", "mine.png", "pack.json"]
    assert prepared.joinpath("images.bin").stat().st_size < digits


# Bad files


def with_bad_files(root: Path) -> Path:
    """Return 36 images in 3 classes of which 3 are bad, and 4 bad entries of other kinds."""
    tiny.images(root)
    (root / "red" / "000.png").write_bytes(b"")
    (root / "red" / "001.png").write_bytes(b"<html></html>")
    (root / "blue" / "000.png").unlink()
    (root / "blue" / "000.png").symlink_to("nowhere.png")
    (root / "blue" / "loop.png").symlink_to("loop.png")
    os.mkfifo(root / "blue" / "pipe.png")
    (root / "blue" / "folder").symlink_to(root / "red")
    (root / "outside.png").write_bytes(b"")
    return root


def quarantine(limit: float) -> Params:
    data = settings.PARAMS.data.model_copy(
        update={"on_error": "quarantine", "max_bad_fraction": limit}
    )
    return params().model_copy(update={"data": data})


def test_bad_files_of_all_kinds_are_listed_at_once(tmp_path: Path) -> None:
    root = with_bad_files(tmp_path / "raw")
    lines = complaint(root, out(tmp_path))
    assert sorted(line.removeprefix(f"{root}/") for line in lines) == [
        "blue/000.png: a link to blue/nowhere.png, which does not exist",
        "blue/folder: a link to a folder; such links are not followed without "
        "data.follow_links: true",
        "blue/loop.png: a link to itself",
        "blue/pipe.png: not a file: a named pipe",
        "outside.png: an image outside of the class folders",
        "red/000.png: the file is empty",
        "red/001.png: not an image: an HTML page; a download has failed, perhaps",
    ]


def test_with_quarantine_the_good_images_are_prepared_and_the_bad_files_listed(
    tmp_path: Path,
) -> None:
    root, folder = with_bad_files(tmp_path / "raw"), out(tmp_path)
    content = prepare.run(quarantine(0.2), list_folder(root), folder)
    found = manifest.read(folder)
    assert content["images"] == len(found.rows) == len(PackedStore(folder)) == 33
    assert content["left_out"]["files"] == len(found.left_out) == 7
    listed = {each["path"]: each["reason"] for each in content["left_out"]["list"]}
    assert listed == {each.path: each.reason for each in found.left_out}
    assert listed["blue/pipe.png"] == "not a file: a named pipe"
    assert not listed.keys() & {row.path for row in found.rows}


def test_too_many_bad_files_are_refused_also_with_quarantine(tmp_path: Path) -> None:
    root = with_bad_files(tmp_path / "raw")
    with pytest.raises(ProblemsError, match=r"7 of 40 files are bad \(17.5%\), more than data"):
        prepare.run(quarantine(0.1), list_folder(root), out(tmp_path))


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("kind", ["damaged", "links to nowhere", "dropped"])
def test_a_given_split_that_is_lost_is_not_drawn_from_others(
    split: str, kind: str, tmp_path: Path
) -> None:
    root = given_split(tmp_path / "raw")
    other = root / ("train" if split != "train" else "test")
    for path in (root / split).rglob("*.png"):
        label = "red" if path.parent.name == "blue" else "blue"
        if kind == "dropped":  # identical images in two classes
            shutil.copy(path, other / label / f"{split}-{path.parent.name}-{path.name}")
            continue
        path.unlink()
        if kind == "damaged":
            path.write_bytes(b"nothing")
        else:
            path.symlink_to("nowhere.png")
    chosen = quarantine(1.0)
    section = chosen.prepare.model_copy(update={"on_conflict": "drop"})
    with pytest.raises(ProblemsError) as caught:
        prepare.run(
            chosen.model_copy(update={"prepare": section}), list_folder(root), out(tmp_path)
        )
    (line,) = caught.value.problems
    assert line.startswith(f"split {split}: none of its images is left")


def test_good_images_are_prepared_alike_with_and_without_quarantine(tmp_path: Path) -> None:
    root = tiny.images(tmp_path / "raw")
    prepare.run(params(), list_folder(root), out(tmp_path, "plain"))
    prepare.run(quarantine(0.1), list_folder(root), out(tmp_path, "quarantine"))
    for path in (tmp_path / "plain").iterdir():
        assert path.read_bytes() == (tmp_path / "quarantine" / path.name).read_bytes()


def test_the_next_run_names_a_file_that_changed_without_a_change_of_its_time(
    tmp_path: Path,
) -> None:
    root, scratch = tiny.images(tmp_path / "raw"), tmp_path / "scratch"
    first = prepare.run(params(), list_folder(root), out(tmp_path), scratch)
    path = root / "red" / "000.png"
    times = path.stat()
    Image.new("RGB", (9, 9), (1, 2, 3)).save(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    second = prepare.run(params(), list_folder(root), tmp_path / "prepared", scratch)
    third = prepare.run(params(), list_folder(root), tmp_path / "prepared", scratch)
    found = [content["changed_without_time"] for content in (first, second, third)]
    assert found == [[], ["red/000.png"], []]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 128 JPEGs that take about 20 ms each to read, in two classes."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    whole = generator.integers(0, 256, (700, 1100, 3), dtype=np.uint8)
    for index in range(128):
        path = root / "ab"[index % 2] / f"{index:03d}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(whole[index : index + 400]).save(path, quality=95)
    return root


@pytest.fixture(scope="module")
def packed_at_once(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of ``photos``, prepared with the values of ``write_params``."""
    folder = tmp_path_factory.mktemp("packed-at-once")
    write_params(folder, source="folder", path=str(photos))
    with contextlib.chdir(folder):
        prepare.run(load(Params), list_folder(photos), out(folder))
    return folder / "prepared"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends processes with their parent")
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_stage_continues_and_writes_the_same_bytes(
    tmp_path: Path, photos: Path, packed_at_once: Path, signum: signal.Signals
) -> None:
    write_params(tmp_path, source="folder", path=str(photos))
    journal = tmp_path / ".thaw" / "prepare" / "packing" / "journal.jsonl"
    with subprocess.Popen(COMMAND, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (
            journal.exists() and lines(journal) > 1
        ):  # 112 images are left
            time.sleep(0.002)
        process.send_signal(signum)
        _, error = process.communicate()
    assert process.returncode == (130 if signum == signal.SIGINT else -signal.SIGKILL), error
    assert "Traceback" not in error
    continued = run_stage(tmp_path)
    assert continued.returncode == 0, continued.stderr
    found = re.match(r"continuing: (\d+) of 128 images are packed already", continued.stderr)
    assert found
    assert 16 <= int(found[1]) < 128
    assert not journal.parent.exists()
    for path in packed_at_once.iterdir():
        assert path.read_bytes() == (tmp_path / "data/prepared" / path.name).read_bytes()


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def test_packed_images_are_kept_while_the_data_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, scratch = tiny.images(tmp_path / "raw"), tmp_path / "scratch"
    (root / "red" / "zzz.png").write_bytes(b"")
    with pytest.raises(ProblemsError):
        prepare.run(params(), list_folder(root), out(tmp_path), scratch)
    (root / "red" / "zzz.png").unlink()
    prepare.run(params(), list_folder(root), tmp_path / "prepared", scratch)
    assert capsys.readouterr().err == "continuing: 32 of 36 images are packed already\n"
    prepare.run(params(), list_folder(root), out(tmp_path, "whole"))
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "prepared" / path.name).read_bytes()


@pytest.mark.slow
def test_many_problems_are_grouped_on_the_screen_and_listed_in_a_file(tmp_path: Path) -> None:
    root = tiny.images(tmp_path / "data" / "raw")
    for number in range(60):
        (root / "red" / f"bad-{number}.png").write_bytes(b"")
    result = stage(tmp_path, source="folder")
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert lines[0] == "all problems are listed in .thaw/prepare/problems.txt"
    assert lines[-2] == "  - and 57 more of this kind"
    listed = (tmp_path / ".thaw/prepare/problems.txt").read_text().splitlines()
    assert len(listed) == 60
    assert listed[0] == "data/raw/red/bad-0.png: the file is empty"


@pytest.mark.slow
def test_shards_change_no_digest_of_the_data_and_a_refused_run_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tiny.images(tmp_path / "raw", size=160)
    (root / "red/bad.png").write_bytes(b"no image")
    one, several = out(tmp_path, "one"), out(tmp_path, "several")
    sharded = params(short_side=160, shard_mb=1)
    with pytest.raises(ProblemsError, match=r"bad\.png"):
        prepare.run(sharded, list_folder(root), several, tmp_path / "scratch")
    (root / "red/bad.png").unlink()
    prepare.run(sharded, list_folder(root), several, tmp_path / "scratch")
    assert "images are packed already" in capsys.readouterr().err
    prepare.run(params(short_side=160), list_folder(root), one)
    assert len(list((several / "images.bin").iterdir())) == 3
    first, second = Prepared(one), Prepared(several)
    assert first.digest == second.digest
    assert first.split_digest("test") == second.split_digest("test")
    prepare.run(params(short_side=160), list_folder(root), several, tmp_path / "scratch")
    assert (several / "images.bin").read_bytes() == (one / "images.bin").read_bytes()

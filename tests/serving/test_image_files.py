from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.data.pictures import plain
from tests.registry.served import image
from tests.serving.image_folder import image_folder, rows
from thaw.data.image_reader import ImageReader
from thaw.errors import ProblemsError, ThawError
from thaw.model.predictor import Predictor
from thaw.serving.batch_prediction import predict_folder
from thaw.serving.image_files import find_images, read_image, refuse_output
from thaw.serving.image_inputs import encode

COUNT = 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "images", COUNT)


def test_images_are_found_by_name_in_all_visible_folders(folder: Path) -> None:
    (folder / "A.JPEG").touch()
    (folder / "notes.txt").touch()
    (folder / ".hidden.png").touch()
    (folder / ".cache").mkdir()
    (folder / ".cache/a.png").touch()
    found = find_images(folder)
    assert found.paths == ["000.png", "002.png", "A.JPEG", "sub, ü/001.png", "sub, ü/003.png"]
    assert found.other_files == 1
    assert (found.skipped_folders, found.system_folders) == ([], [])
    (folder.parent / "empty").mkdir()
    with pytest.raises(ThawError, match=r"has no images \(.*\): give a folder that has some$"):
        find_images(folder.parent / "empty")


def test_an_output_that_is_a_folder_is_named_as_one(folder: Path) -> None:
    for out in (folder, folder / "sub, ü"):
        with pytest.raises(ThawError, match=f"^--out: {out} is a folder: give the path of a file$"):
            refuse_output("models:/x/1", folder, out)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/dev/full", "is a device or a pipe: give the path of a file"),
        ("/dev/null", "is a device or a pipe: give the path of a file"),
        ("pipe.csv", "is a device or a pipe: give the path of a file"),
        ("x" * 300, "File name too long: give another path"),
        ("x/" * 3000, "File name too long: give another path"),
        ("loop", "Too many levels of symbolic links: give another path"),
    ],
)
def test_an_output_that_cannot_be_a_file_is_refused_without_reading_it(
    folder: Path, name: str, reason: str
) -> None:
    os.mkfifo(folder.parent / "pipe.csv")
    (folder.parent / "loop").symlink_to("loop")
    with pytest.raises(ThawError, match=f"{reason}$"):
        refuse_output("models:/x/1", folder, folder.parent / name)


def test_the_standard_output_is_no_file(folder: Path) -> None:
    with pytest.raises(ThawError, match="no file to the standard output"):
        refuse_output("models:/x/1", folder, Path("-"))


def test_thumbnails_of_a_file_server_are_not_predicted(folder: Path) -> None:
    before = find_images(folder).paths
    for place in ("@eaDir", "sub, ü/@eaDir"):
        (folder / place).mkdir()
        (folder / place / "SYNOPHOTO_THUMB_M.jpg").touch()
    found = find_images(folder)
    assert found.paths == before
    assert found.system_folders == ["@eaDir", "sub, ü/@eaDir"]


def test_a_file_outside_of_the_folder_is_not_read(folder: Path, model: Path) -> None:
    (folder.parent / "secret.png").write_bytes(image())
    reader = Predictor(model).reader
    assert read_image(folder, reader, "../secret.png") == "leads out of the folder"
    assert not isinstance(read_image(folder, reader, "000.png"), str)


def test_thin_images_and_links_to_themselves_have_their_own_reasons(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    (folder / "thin.png").write_bytes(plain("PNG", "L", 1, 200_000))
    (folder / "wide.png").write_bytes(plain("PNG", "L", 900_000, 1))
    (folder / "long.png").write_bytes(plain("PNG", "L", 4000, 40))
    (folder / "loop.png").symlink_to("loop.png")
    out = tmp_path / "out.csv"
    with pytest.raises(ProblemsError) as caught:
        predict_folder(str(model), folder, out).raise_problems()
    reasons = dict(line.split(": ", 1) for line in caught.value.problems)
    assert list(reasons) == ["'loop.png'", "'thin.png'", "'wide.png'"]
    assert "1 x 200000 pixels: one side is more than 100 times" in reasons["'thin.png'"]
    assert "900000 x 1 pixels: one side is more than 100 times" in reasons["'wide.png'"]
    if sys.version_info < (3, 13):  # later versions report that it is not a file
        assert reasons["'loop.png'"] == "a link to itself"
    assert len(rows(out)) == COUNT + 1


def test_an_unexpected_error_is_not_reported_as_a_link(
    model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(ImageReader, "read", failing)
    with pytest.raises(RuntimeError, match="something else"):
        predict_folder(str(model), folder, tmp_path / "out.csv")


def test_a_folder_that_cannot_be_read_and_links_to_folders_are_listed(
    model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.png").write_bytes(image())
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / ".hidden").symlink_to(tmp_path / "elsewhere")
    scandir, out = os.scandir, tmp_path / "out.csv"

    def denied(path: str) -> object:  # root can read every folder
        if str(path).endswith("sub, ü"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(ProblemsError) as caught:
        predict_folder(str(model), folder, out).raise_problems()
    monkeypatch.undo()
    assert sorted(caught.value.problems) == [
        "'linked': a link to a folder is not followed",
        "'sub, ü': the folder cannot be read: Permission denied",
    ]
    assert len(rows(out)) == COUNT / 2
    about = json.loads((tmp_path / "out.csv.json").read_text())
    assert set(about["unreadable"]) == {"linked", "sub, ü"}
    (tmp_path / "only").mkdir()
    (tmp_path / "only/linked").symlink_to(folder)
    with pytest.raises(ProblemsError, match=r"has no images (.|\n)*'linked': a link to a folder"):
        find_images(tmp_path / "only")


def test_a_name_that_is_not_utf_8_is_listed(model: Path, folder: Path, tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png"))).write_bytes(image())
    with pytest.raises(ProblemsError, match="the file's name is not valid UTF-8"):
        predict_folder(str(model), folder, tmp_path / "out.csv").raise_problems()
    about = json.loads((tmp_path / "out.csv.json").read_text())
    assert about["unreadable"] == {"\udcff.png": "the file's name is not valid UTF-8"}


def test_a_large_file_that_is_no_image_is_not_read(tmp_path: Path, model: Path) -> None:
    (tmp_path / "video.png").touch()
    os.truncate(tmp_path / "video.png", 5_000_000_000)
    found = read_image(tmp_path.resolve(), Predictor(model).reader, "video.png")
    assert str(found).startswith("not an image: only zero bytes")
    with pytest.raises(ThawError, match=r"video\.png: not an image"):
        encode(tmp_path / "video.png")


def test_an_output_in_a_folder_that_takes_no_file_is_refused_before_the_model_is_loaded(
    folder: Path,
) -> None:
    with pytest.raises(ThawError, match=r"^--out: /proc/x\.csv: no file can be created in /proc"):
        refuse_output("models:/x/1", folder, Path("/proc/x.csv"))

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest
import torch

from tests import tiny
from thaw.errors import ThawError
from thaw.serving.prediction_file import PredictionFile

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ["cat", "dog, small"]
OWNER = {"digest": "a" * 64, "folder": "/images"}
ROWS = torch.tensor([[0.25, 0.75], [0.9, 0.1]])
NAMES = ['a,"b".png', "line\nbreak ü.png"]


def opened(path: Path, **changes: str) -> PredictionFile:
    return PredictionFile(path, {**OWNER, **changes}, CLASSES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with two rows, as a killed run leaves it."""
    with opened(tmp_path / "out.csv") as results:
        results.add(NAMES, ROWS)
    return tmp_path / "out.csv"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_row_has_label_probability_and_all_classes(path: Path) -> None:
    assert read(path) == [
        {
            "path": NAMES[0],
            "label": "dog, small",
            "probability": "0.75",
            "p_cat": "0.25",
            "p_dog, small": "0.75",
        },
        {
            "path": NAMES[1],
            "label": "cat",
            "probability": "0.9",
            "p_cat": "0.9",
            "p_dog, small": "0.1",
        },
    ]


def test_rows_of_an_earlier_run_are_kept(path: Path) -> None:
    before = path.read_bytes()
    results = opened(path)
    assert results.done == set(NAMES)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["hard link", "link", "torn link"])
def test_a_run_that_continues_does_not_write_through_links(path: Path, kind: str) -> None:
    kept = path.with_name("kept.csv")
    if kind == "hard link":
        kept.hardlink_to(path)
    else:
        path.rename(kept)
        path.symlink_to(kept.name)
    if kind == "torn link":
        kept.write_bytes(kept.read_bytes()[:-3])
    before = kept.read_bytes()
    with opened(path) as results:
        results.add(["third.png"], ROWS[:1])
    assert kept.read_bytes() == before
    assert not path.is_symlink()
    names = NAMES[:1] if kind == "torn link" else NAMES
    assert [row["path"] for row in read(path)] == [*names, "third.png"]


def test_a_run_without_new_images_leaves_the_file_as_it_is(path: Path) -> None:
    path.rename(path.with_name("kept.csv"))
    path.symlink_to("kept.csv")
    with opened(path) as results:
        assert results.done == set(NAMES)
    assert path.is_symlink()


def check_torn(path: Path, content: bytes, length: int) -> None:
    """Check what remains of a file that ends after ``length`` bytes."""
    header = content.index(b"\n") + 1
    first = content.index(b"0.75\n") + 5
    path.write_bytes(content[:length])
    done = opened(path).done
    complete = (length >= first) + (length == len(content))
    assert done == set(NAMES[:complete]), length
    expected = content[: (header, first, len(content))[complete]]
    assert path.read_bytes() == expected, length


def test_complete_rows_stay_when_the_last_row_is_incomplete(path: Path) -> None:
    content = path.read_bytes()
    header = content.index(b"\n") + 1
    first = content.index(b"0.75\n") + 5
    for length in (0, 5, header - 1, header, first - 3, first - 1, first, len(content) - 1):
        check_torn(path, content, length)


def test_a_name_with_a_carriage_return_is_one_row_and_is_not_computed_again(tmp_path: Path) -> None:
    path, names = tmp_path / "out.csv", ["return\r.png", "a\rb.png"]
    with opened(path) as results:
        results.add(names, ROWS)
    content = path.read_bytes()
    assert [row["path"] for row in read(path)] == names
    assert opened(path).done == set(names)
    assert path.read_bytes() == content
    for missing in (1, 3, 15, 25):
        path.write_bytes(content[:-missing])
        assert opened(path).done == {names[0]}, missing


@pytest.mark.soak
def test_complete_rows_stay_when_the_file_ends_at_any_byte(path: Path) -> None:
    content = path.read_bytes()
    for length in range(len(content) + 1):
        check_torn(path, content, length)


@pytest.mark.parametrize("key", OWNER)
def test_rows_of_another_model_or_folder_are_refused(path: Path, key: str) -> None:
    before = path.read_bytes()
    with pytest.raises(ThawError, match=f"the predictions of another {key}"):
        opened(path, **{key: "other"})
    assert path.read_bytes() == before


@pytest.mark.parametrize("about", [None, "[]", "{", "null"])
def test_a_file_of_another_program_is_not_changed(tmp_path: Path, about: str | None) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("dear diary\n")
    if about is not None:
        path.with_name("mine.csv.json").write_text(about)
    with pytest.raises(ThawError, match="was not written by `thaw predict`"):
        opened(path)
    assert path.read_text() == "dear diary\n"


def test_a_dangling_link_in_place_of_the_description_is_not_replaced(tmp_path: Path) -> None:
    about = tmp_path / "mine.csv.json"
    about.symlink_to("gone.json")
    with pytest.raises(ThawError, match=r"mine\.csv\.json was not written by `thaw predict`"):
        opened(tmp_path / "mine.csv")
    assert about.is_symlink()


def test_the_error_of_a_full_disk_names_the_file(path: Path) -> None:
    names, rows = NAMES * 50, ROWS.repeat(50, 1)
    with opened(path) as results, tiny.full_disk(), pytest.raises(ThawError, match=r"out\.csv"):
        results.add(names, rows)


def test_a_file_with_its_header_alone_is_taken_over_without_a_json_file(path: Path) -> None:
    header = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(header)
    path.with_name("out.csv.json").unlink()
    assert opened(path).done == set()
    assert path.with_name("out.csv.json").exists()


def test_the_json_file_is_written_before_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise ThawError(f"{path}: no space for {len(content)} bytes")

    with monkeypatch.context() as patch:
        patch.setattr("thaw.serving.prediction_file.write_whole", full)
        with pytest.raises(ThawError, match=r"out\.csv\.json"):
            opened(tmp_path / "out.csv")
    assert opened(tmp_path / "out.csv").done == set()


def test_rows_of_another_precision_are_not_continued(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with opened(out, precision="bf16") as results:
        results.add(NAMES[:1], ROWS[:1])
    with pytest.raises(ThawError, match=r"another precision \(bf16, not fp32\): give another"):
        opened(out, precision="fp32")
    assert opened(out, precision="bf16").done == {NAMES[0]}


def test_rows_of_an_earlier_version_which_did_not_note_the_precision_are_continued(
    path: Path,
) -> None:
    assert opened(path, precision="fp32").done == set(NAMES)

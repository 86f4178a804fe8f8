from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests import settings
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import PackedStore
from thaw.ingest.sources import write_digits
from thaw.model import directory
from thaw.model.sealed_files import SPEC
from thaw.projects import file_layout
from thaw.system.project_paths import MODELS, PREPARED, REPORTS

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

MERGED = MODELS / "fold_bn/merged"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def earlier_pack(encoding: Literal["raw", "jpeg"]) -> None:
    """Write a pack of one grey image as earlier versions did."""
    PREPARED.mkdir(parents=True)
    config = settings.prepare(short_side=64, encoding=encoding, max_megapixels=1.0)
    with PackWriter(PREPARED, config) as writer:
        writer.add(np.full((8, 8, 3), 90, np.uint8))
    (PREPARED / "images.bin").rename(PREPARED / f"images.{encoding}")
    kept = json.loads((PREPARED / "pack.json").read_text())
    del kept["encoding"]
    (PREPARED / "pack.json").write_text(json.dumps(kept))


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_the_images_get_the_name_that_dvc_yaml_lists(encoding: Literal["raw", "jpeg"]) -> None:
    earlier_pack(encoding)
    before = (PREPARED / f"images.{encoding}").read_bytes()
    assert file_layout.pending() == [PREPARED / f"images.{encoding}", PREPARED / "pack.json"]
    file_layout.convert()
    assert sorted(path.name for path in PREPARED.iterdir()) == [
        "images.bin", "index.npy", "pack.json"
    ]  # fmt: skip
    assert (PREPARED / "images.bin").read_bytes() == before
    assert abs(PackedStore(PREPARED).read(0).astype(int) - 90).max() < 3
    assert file_layout.pending() == []
    file_layout.convert()
    assert (PREPARED / "images.bin").read_bytes() == before


def test_the_digits_are_removed_and_other_files_stay() -> None:
    digits = PREPARED / "digits"
    write_digits(digits)
    mine = [digits / "3/0003.png", digits / "mine.png", digits / "7/notes.txt"]
    for path in mine:
        Image.new("RGB", (28, 28)).save(path, "PNG")
    assert file_layout.pending() == [digits]
    file_layout.convert()
    assert sorted(path for path in digits.rglob("*") if path.is_file()) == sorted(mine)


def test_photographs_with_the_names_of_earlier_files_stay(project: Path) -> None:
    PREPARED.mkdir(parents=True)
    for name in ("images.raw", "images.jpeg"):
        (PREPARED / name).write_text("of the user")
    photos = project / "photos/3"
    photos.mkdir(parents=True)
    Image.new("L", (8, 8)).save(photos / "0003.png")
    (PREPARED / "digits").symlink_to(project / "photos")
    for content in (None, "{", "[]", '{"encoding": "raw"}'):
        if content:
            (PREPARED / "pack.json").write_text(content)
        assert file_layout.pending() == []
        file_layout.convert()
    assert {(PREPARED / f"images.{kind}").read_text() for kind in ("raw", "jpeg")} == {
        "of the user"
    }
    assert (photos / "0003.png").exists()


def test_a_model_without_statistics_gets_a_file_without_content() -> None:
    MERGED.mkdir(parents=True)
    assert file_layout.pending() == []
    (MERGED / SPEC).write_text("{}")
    assert file_layout.pending() == [MERGED / directory.STATISTICS]
    file_layout.convert()
    assert (MERGED / directory.STATISTICS).read_bytes() == directory.NO_STATISTICS
    (MERGED / directory.STATISTICS).write_bytes(b"of a model")
    file_layout.convert()
    assert (MERGED / directory.STATISTICS).read_bytes() == b"of a model"


def test_a_head_of_earlier_versions_gets_the_report_that_nothing_was_chosen() -> None:
    spec = MODELS / "warmup_head" / SPEC
    spec.parent.mkdir(parents=True)
    spec.write_text("{}")
    choices = REPORTS / "warmup_head/choices.json"
    assert choices in file_layout.pending()
    file_layout.convert()
    assert json.loads(choices.read_text())["values"] == {}
    assert choices.with_name("leaderboard.csv").exists()
    assert file_layout.pending() == []


def test_a_model_of_earlier_versions_gets_an_empty_leaderboard_and_choice_of_trainings() -> None:
    spec = MODELS / "unfreeze" / SPEC
    spec.parent.mkdir(parents=True)
    spec.write_text("{}")
    leaderboard = REPORTS / "unfreeze/leaderboard.csv"
    choices = REPORTS / "unfreeze/choices.json"
    assert file_layout.pending() == [leaderboard, choices]
    file_layout.convert()
    assert json.loads(choices.read_text()) == {"values": {}}
    assert len(leaderboard.read_text().splitlines()) == 1
    assert file_layout.pending() == []

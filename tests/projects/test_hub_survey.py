"""Projects from folders in the formats of the Hugging Face Hub."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

import pytest
from datasets import DatasetDict

from tests.ingest.test_hub_files import rows
from thaw.errors import ThawError
from thaw.projects.hub_survey import list_local_hub
from thaw.projects.image_survey import survey

if TYPE_CHECKING:
    from pathlib import Path


def test_parquet_files_are_counted_with_their_splits(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    folder.mkdir()
    rows([0, 1, 1]).to_parquet(folder / "train-00000-of-00001.parquet")
    rows([0, 1]).to_parquet(folder / "test-00000-of-00001.parquet")
    found = survey(folder)
    assert (found.data.source, found.data.path, found.data.root) == ("hf:.", *2 * [str(folder)])
    assert found.counts == {"cat": 2, "dog": 3}
    assert found.splits == {"train": 3, "test": 2}
    found.refuse_useless()


def test_images_with_a_table_are_counted(tmp_path: Path) -> None:
    for number, row in enumerate(rows([0, 1, 1])):
        row["image"].save(tmp_path / f"{number}.png")
    with (tmp_path / "metadata.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerows([["file_name", "label"], *([f"{n}.png", "ab"[n % 2]] for n in range(3))])
    assert survey(tmp_path).counts == {"a": 2, "b": 1}


def test_a_table_beside_folders_of_classes_changes_nothing(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number, row in enumerate(rows([0, 1, 1])):
            row["image"].save(tmp_path / label / f"{number}.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\n")
    found = survey(tmp_path)
    assert (found.data.source, found.counts) == ("folder", {"cat": 3, "dog": 3})


def test_columns_that_are_not_clear_are_named_with_what_to_set(tmp_path: Path) -> None:
    rows([0, 1]).remove_columns("label").to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ThawError, match=r"has the columns image: .*to hf:\.#COLUMN") as caught:
        list_local_hub(tmp_path)
    assert str(caught.value).endswith(f"and data.path and data.root to {tmp_path}")


def test_unknown_splits_are_not_said_to_be_a_matter_of_columns(tmp_path: Path) -> None:
    sets = DatasetDict({"train": rows([0, 1]), "unsupervised": rows([0, 1])})
    sets.save_to_disk(tmp_path)
    with pytest.raises(ThawError, match="is neither training nor validation nor test") as caught:
        list_local_hub(tmp_path)
    assert "column" not in str(caught.value)


def test_without_the_package_only_its_installation_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows([0, 1]).to_parquet(tmp_path / "train.parquet")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ThawError, match=r"pip install 'thaw-vision\[hub\]'$"):
        list_local_hub(tmp_path)

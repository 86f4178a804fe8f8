"""Small data sets in the file formats of the Hugging Face Hub, read without network."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PillowImage

from thaw.errors import ThawError
from thaw.ingest.hub_sets import Address, list_hub

if TYPE_CHECKING:
    from pathlib import Path

FEATURES = Features({"image": Image(), "label": ClassLabel(names=["cat", "dog"])})


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def jpeg(shade: int) -> bytes:
    stream = io.BytesIO()
    PillowImage.new("RGB", (12, 9), (shade, 0, 0)).save(stream, "JPEG")
    return stream.getvalue()


def write(
    root: Path, split: str, labels: list[Any], features: Features = FEATURES, **more: list[Any]
) -> None:
    """Write a split as the Parquet file that the Hub has."""
    images = [{"bytes": jpeg(index + len(split)), "path": None} for index in range(len(labels))]
    rows = {"image": images, "label": labels, **more}
    (root / "data").mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(rows, features=features).to_parquet(
        root / "data" / f"{split}-00000-of-00001.parquet"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def test_images_keep_their_bytes_labels_and_splits(root: Path, tmp_path: Path) -> None:
    write(root, "train", [0, 1, 1])
    write(root, "validation", [0])
    write(root, "test", [1])
    listing = list_hub("hf:someone/pets", root, tmp_path / "scratch")
    samples = {(sample.path, sample.label, sample.split) for sample in listing.samples}
    assert samples == {
        ("train/00000000.jpeg", "cat", "train"),
        ("train/00000001.jpeg", "dog", "train"),
        ("train/00000002.jpeg", "dog", "train"),
        ("validation/00000000.jpeg", "cat", "val"),
        ("test/00000000.jpeg", "dog", "test"),
    }
    assert listing.classes == ["cat", "dog"]
    assert (listing.root / "train/00000002.jpeg").read_bytes() == jpeg(2 + len("train"))


def test_one_split_is_none(root: Path, tmp_path: Path) -> None:
    write(root, "train", [0, 1])
    listing = list_hub("hf:someone/pets", root, tmp_path)
    assert [sample.split for sample in listing.samples] == [None, None]


def test_a_test_split_without_labels_is_counted_and_left_out(root: Path, tmp_path: Path) -> None:
    write(root, "train", [0, 1])
    write(root, "test", [-1, None])
    listing = list_hub("hf:someone/pets", root, tmp_path)
    assert len(listing.samples) == 2
    assert listing.ignored == {"images without a label": 2}


def test_rows_without_an_image_are_bad_files(root: Path, tmp_path: Path) -> None:
    (root / "data").mkdir(parents=True)
    images = [{"bytes": jpeg(1), "path": None}, None]
    rows = Dataset.from_dict({"image": images, "label": [0, 1]}, features=FEATURES)
    rows.to_parquet(root / "data/train.parquet")
    listing = list_hub("hf:someone/pets", root, tmp_path)
    assert [sample.path for sample in listing.samples] == ["train/00000000.jpeg"]
    assert [(bad.path, bad.label, bad.reason) for bad in listing.bad_files] == [
        ("train/00000001", "dog", "the row has no image")
    ]


def test_texts_are_labels_too(root: Path, tmp_path: Path) -> None:
    features = Features({"image": Image(), "label": Value("string")})
    write(root, "train", ["red fox", "hare", ""], features)
    listing = list_hub("hf:x", root, tmp_path)
    assert listing.classes == ["hare", "red fox"]
    assert listing.ignored == {"images without a label": 1}


def test_a_column_of_labels_can_be_chosen(root: Path, tmp_path: Path) -> None:
    kinds = ClassLabel(names=["animal", "plant"])
    features = Features(
        {"image": Image(), "fine": FEATURES["label"], "coarse": kinds, "label": Value("int64")}
    )
    write(root, "train", [7, 7], features, fine=[0, 1], coarse=[1, 0])
    with pytest.raises(ThawError, match=r"one the classes \(found: fine, coarse\); hf:NAME#COLUMN"):
        list_hub("hf:x", root, tmp_path)
    listing = list_hub("hf:x#coarse", root, tmp_path)
    assert [sample.label for sample in listing.samples] == ["plant", "animal"]


def test_unchanged_files_are_not_written_again_and_changed_ones_are(
    root: Path, tmp_path: Path
) -> None:
    write(root, "train", [0, 1])
    first = list_hub("hf:x", root, tmp_path / "scratch")
    written = (first.root / "train/00000000.jpeg").stat().st_mtime_ns
    assert list_hub("hf:x", root, tmp_path / "scratch").root == first.root
    assert (first.root / "train/00000000.jpeg").stat().st_mtime_ns == written
    write(root, "train", [1, 1, 0])
    second = list_hub("hf:x", root, tmp_path / "scratch")
    assert [sample.label for sample in second.samples] == ["dog", "dog", "cat"]
    assert not first.root.exists()


def test_a_folder_of_images_with_a_table_is_read(root: Path, tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (root / "train" / label).mkdir(parents=True)
        (root / "train" / label / "1.jpg").write_bytes(jpeg(5))
    listing = list_hub("hf:x", root, tmp_path)
    assert [sample.label for sample in listing.samples] == ["cat", "dog"]


def test_without_network_the_message_says_how_to_get_the_files(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    (root / "README.md").write_text("of a new project")
    with pytest.raises(ThawError) as caught:
        list_hub("hf:someone/pets", root, tmp_path / "scratch")
    text = str(caught.value)
    assert f"hf:someone/pets is not in {root} and cannot be downloaded" in text
    assert "run `hf download someone/pets --repo-type dataset --local-dir FOLDER`" in text


def test_files_that_are_no_data_set_are_named(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    (root / "notes.parquet").write_text("not a table")
    with pytest.raises(ThawError, match="is no data set that `datasets` can read"):
        list_hub("hf:x", root, tmp_path)


def test_another_split_is_refused(root: Path, tmp_path: Path) -> None:
    write(root, "train", [0])
    write(root, "unsupervised", [0])
    with pytest.raises(ThawError, match="the split unsupervised is neither"):
        list_hub("hf:x", root, tmp_path)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hf:mnist", ("mnist", None, None)),
        ("hf:org/name:config", ("org/name", "config", None)),
        ("hf:org/name#fine", ("org/name", None, "fine")),
        ("hf:org/name:config#fine", ("org/name", "config", "fine")),
    ],
)
def test_an_address_has_three_parts(source: str, expected: tuple[str | None, ...]) -> None:
    found = Address.parse(source)
    assert (found.name, found.config, found.column) == expected


@pytest.mark.parametrize("source", ["hf:", "hf:a:b:c", "hf:a#b#c", "hf::b"])
def test_another_form_is_refused(source: str) -> None:
    with pytest.raises(ThawError, match="write hf:NAME"):
        Address.parse(source)

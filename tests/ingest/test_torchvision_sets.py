"""Small data sets in the file formats of torchvision, read without network."""

from __future__ import annotations

import inspect
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from thaw.errors import ThawError
from thaw.ingest import torchvision_sets
from thaw.ingest.torchvision_sets import SETS, list_torchvision

if TYPE_CHECKING:
    from thaw.ingest.listing import Listing


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("there is no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((9, 12, 3), len(path.name), dtype=np.uint8)).save(path)


def food(root: Path) -> None:
    names = {
        "train": {"pie": ["pie/1", "pie/2"], "soup": ["soup/3"]},
        "test": {"pie": ["pie/4"], "soup": ["soup/5"]},
    }
    for split, classes in names.items():
        (root / "food-101" / "meta").mkdir(parents=True, exist_ok=True)
        (root / "food-101" / "meta" / f"{split}.json").write_text(json.dumps(classes))
        for name in (name for names in classes.values() for name in names):
            picture(root / "food-101" / "images" / f"{name}.jpg")


def pets(root: Path) -> None:
    base = root / "oxford-iiit-pet"
    lists = {
        "trainval": ["Bengal_1 1 1 1", "yorkshire_terrier_2 2 2 1"],
        "test": ["Bengal_3 1 1 1", "yorkshire_terrier_4 2 2 1"],
    }
    for split, lines in lists.items():
        (base / "annotations").mkdir(parents=True, exist_ok=True)
        (base / "annotations" / f"{split}.txt").write_text("\n".join(lines))
        for line in lines:
            picture(base / "images" / f"{line.split()[0]}.jpg")


def signs(root: Path) -> None:
    base = root / "gtsrb"
    for label in ("00000", "00001"):
        picture(base / "GTSRB" / "Training" / label / "0.ppm")
    picture(base / "GTSRB" / "Final_Test" / "Images" / "a.ppm")
    (base / "GT-final_test.csv").write_text("Filename;ClassId\na.ppm;1\n")


def satellites(root: Path) -> None:
    for label in ("Forest", "River"):
        picture(root / "eurosat" / "2750" / label / f"{label}_1.jpg")


def textures(root: Path) -> None:
    base = root / "dtd" / "dtd"
    for split, names in {"train": "12", "val": "3", "test": "45"}.items():
        listed = [f"{label}/{label}_{name}.jpg" for label in ("dotted", "woven") for name in names]
        (base / "labels").mkdir(parents=True, exist_ok=True)
        (base / "labels" / f"{split}1.txt").write_text("\n".join(listed))
        for name in listed:
            picture(base / "images" / name)


def digits(root: Path) -> None:
    """Write MNIST's format (IDX): a header of sizes, then bytes."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, count in (("train", 3), ("t10k", 2)):
        pixels = np.arange(count * 28 * 28).reshape(count, 28, 28).astype(np.uint8)
        labels = np.arange(count).astype(np.uint8)
        for kind, values in (("images-idx3", pixels), ("labels-idx1", labels)):
            header = np.array([0x800 + values.ndim, *values.shape], ">u4").tobytes()
            (folder / f"{name}-{kind}-ubyte").write_bytes(header + values.tobytes())


def found(listing: Listing) -> set[tuple[str, str, str | None]]:
    for sample in listing.samples:
        assert (listing.root / sample.path).is_file()
    return {(sample.path, sample.label, sample.split) for sample in listing.samples}


def test_files_and_splits_are_those_of_the_set(tmp_path: Path) -> None:
    food(tmp_path)
    listing = list_torchvision("torchvision:Food101", tmp_path, tmp_path / "scratch")
    images = "food-101/images"
    assert found(listing) == {
        (f"{images}/pie/1.jpg", "pie", "train"),
        (f"{images}/pie/2.jpg", "pie", "train"),
        (f"{images}/soup/3.jpg", "soup", "train"),
        (f"{images}/pie/4.jpg", "pie", "test"),
        (f"{images}/soup/5.jpg", "soup", "test"),
    }
    assert listing.root == tmp_path
    assert listing.classes == ["pie", "soup"]
    assert not (tmp_path / "scratch").exists()


def test_pets_are_read_as_the_files_of_the_set(tmp_path: Path) -> None:
    pets(tmp_path)
    listing = list_torchvision("torchvision:OxfordIIITPet", tmp_path, tmp_path)
    images = "oxford-iiit-pet/images"
    assert found(listing) == {
        (f"{images}/Bengal_1.jpg", "Bengal", "train"),
        (f"{images}/yorkshire_terrier_2.jpg", "Yorkshire Terrier", "train"),
        (f"{images}/Bengal_3.jpg", "Bengal", "test"),
        (f"{images}/yorkshire_terrier_4.jpg", "Yorkshire Terrier", "test"),
    }


def test_classes_without_names_are_numbers(tmp_path: Path) -> None:
    signs(tmp_path)
    listing = list_torchvision("torchvision:GTSRB", tmp_path, tmp_path)
    assert found(listing) == {
        ("gtsrb/GTSRB/Training/00000/0.ppm", "0", "train"),
        ("gtsrb/GTSRB/Training/00001/0.ppm", "1", "train"),
        ("gtsrb/GTSRB/Final_Test/Images/a.ppm", "1", "test"),
    }


def test_a_set_without_splits_gives_none(tmp_path: Path) -> None:
    satellites(tmp_path)
    listing = list_torchvision("torchvision:EuroSAT", tmp_path, tmp_path)
    assert found(listing) == {
        ("eurosat/2750/Forest/Forest_1.jpg", "Forest", None),
        ("eurosat/2750/River/River_1.jpg", "River", None),
    }


def test_three_splits_are_kept(tmp_path: Path) -> None:
    textures(tmp_path)
    listing = list_torchvision("torchvision:DTD", tmp_path, tmp_path)
    counts = {
        split: sum(s.split == split for s in listing.samples) for split in ("train", "val", "test")
    }
    assert counts == {"train": 4, "val": 2, "test": 4}


def test_pixels_without_files_are_written_once_as_png(tmp_path: Path) -> None:
    digits(tmp_path)
    scratch = tmp_path / "scratch"
    listing = list_torchvision("torchvision:MNIST", tmp_path, scratch)
    assert found(listing) == {
        ("train/000000.png", "0 - zero", "train"),
        ("train/000001.png", "1 - one", "train"),
        ("train/000002.png", "2 - two", "train"),
        ("test/000000.png", "0 - zero", "test"),
        ("test/000001.png", "1 - one", "test"),
    }
    with Image.open(listing.root / "train/000001.png") as image:
        expected = np.arange(784, 2 * 784).astype(np.uint8).reshape(28, 28)
        np.testing.assert_array_equal(np.asarray(image), expected)
    written = (listing.root / "train/000001.png").stat().st_mtime_ns
    again = list_torchvision("torchvision:MNIST", tmp_path, scratch)
    assert found(again) == found(listing)
    assert (listing.root / "train/000001.png").stat().st_mtime_ns == written


def test_an_unknown_set_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(
        ThawError, match=r"no data set torchvision:Food: did you mean torchvision:Food101\?"
    ):
        list_torchvision("torchvision:Food", tmp_path, tmp_path)
    with pytest.raises(ThawError, match="known are CIFAR10, CIFAR100, "):
        list_torchvision("torchvision:Zzz", tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["DTD", "CIFAR10", "EuroSAT", "Imagenette", "SVHN"])
def test_without_network_the_message_says_how_to_get_the_files(tmp_path: Path, name: str) -> None:
    root = tmp_path / "data" / "raw"
    with pytest.raises(ThawError) as caught:
        list_torchvision(f"torchvision:{name}", root, tmp_path / "scratch")
    text = str(caught.value)
    assert f"torchvision:{name} is not in {root} and cannot be downloaded" in text
    assert f'run `python -c "from torchvision.datasets import {name}; {name}(' in text
    assert f"copy what it writes into {root}" in text
    assert list(root.iterdir()) == []


def test_a_download_is_seen_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: Any) -> None:
        root = tmp_path / torchvision_sets._PARTIAL
        assert self.root == str(root)
        satellites(root)

    monkeypatch.setattr(datasets.EuroSAT, "download", write)
    (tmp_path / torchvision_sets._PARTIAL / "eurosat" / "2750" / "Half").mkdir(parents=True)
    listing = list_torchvision("torchvision:EuroSAT", tmp_path, tmp_path)
    assert listing.classes == ["Forest", "River"]
    assert [path.name for path in tmp_path.iterdir()] == ["eurosat"]


def test_a_part_of_a_set_is_refused_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.GTSRB, "download", lambda self: signs(Path(self.root)))
    picture(tmp_path / "gtsrb" / "GTSRB" / "Training" / "00007" / "mine.ppm")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ThawError, match="gtsrb has a part of the data set, and nothing is"):
        list_torchvision("torchvision:GTSRB", tmp_path, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", SETS)
def test_torchvision_has_the_set_and_its_arguments(name: str) -> None:
    parameters = inspect.signature(getattr(datasets, name).__init__).parameters
    for arguments in SETS[name].splits.values():
        assert set(arguments) <= set(parameters)
    assert ("loader" in parameters) == (SETS[name].files == "loader")

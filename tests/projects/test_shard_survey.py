from __future__ import annotations

import io
import json
import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from tests import tiny
from thaw.errors import ProblemsError, ThawError
from thaw.ingest import shard_files
from thaw.ingest.sources import list_images
from thaw.projects.creation import create_project
from thaw.projects.image_survey import survey
from thaw.projects.shard_survey import is_shard_list

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("train-0.tar", "train-1.tar", "val-0.tar", "test-0.tar")


def shards(folder: Path, images: Path, label: str, names: tuple[str, ...] = NAMES) -> Path:
    """Write the images of all classes to shards, with their labels in the field ``label``."""
    folder.mkdir()
    suffix, _, key = label.partition(".")
    for number, name in enumerate(names):
        with tarfile.open(folder / name, "w") as archive:
            for path in sorted(images.rglob("*.png"))[number :: len(names)]:
                sample = f"{path.parent.name}{path.stem}"
                text = json.dumps({"id": 3, key: path.parent.name}) if key else path.parent.name
                for field, content in (("png", path.read_bytes()), (suffix, text.encode())):
                    info = tarfile.TarInfo(f"{sample}.{field}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.images(tmp_path_factory.mktemp("photos"))


@pytest.mark.slow
@pytest.mark.parametrize("label", ["cls", "txt", "json.label", "json.class_name"])
def test_a_project_from_shards_names_their_field_of_labels(
    tmp_path: Path, images: Path, label: str
) -> None:
    folder = shards(tmp_path / "shards", images, label)
    found = create_project(tmp_path / "project", folder)
    assert found is not None
    assert found.counts == {"blue": 12, "green": 12, "red": 12}
    assert found.splits == {"train": 18, "val": 9, "test": 9}
    assert found.data.source == "webdataset"
    assert found.data.label_field == label
    assert f"labels are in the field {label}" in found.notes
    text = (tmp_path / "project/params.yaml").read_text()
    assert "source: webdataset" in text
    assert (f"label_field: {label}" in text) == (label != "cls")
    assert list_images(found.data, tmp_path).shards is not None


def test_shards_in_folders_and_without_splits_are_found(tmp_path: Path, images: Path) -> None:
    shards(tmp_path / "all", images, "cls", ("00.tar",))
    (tmp_path / "all/part").mkdir()
    (tmp_path / "all/00.tar").rename(tmp_path / "all/part/00.tar")
    found = survey(tmp_path / "all")
    assert (sum(found.counts.values()), found.splits) == (36, {})


def test_shards_without_labels_are_refused_with_what_to_set(tmp_path: Path, images: Path) -> None:
    folder = shards(tmp_path / "shards", images, "subject")
    with pytest.raises(ThawError, match=r"test-0.tar: no field .*fields are png, subject.*label_f"):
        create_project(tmp_path / "project", folder)
    assert not (tmp_path / "project").exists()


def test_damaged_shards_and_a_single_class_are_named(tmp_path: Path, images: Path) -> None:
    folder = shards(tmp_path / "shards", images / "red", "cls")
    with pytest.raises(ProblemsError, match="no classifier can be trained"):
        create_project(tmp_path / "project", folder)
    both = shards(tmp_path / "both", images, "cls")
    content = (both / "val-0.tar").read_bytes()
    (both / "val-0.tar").write_bytes(content[: len(content) // 2])
    assert any("val-0.tar: not a complete tar file" in line for line in survey(both).problems)


@pytest.mark.slow
def test_a_list_of_shards_on_this_machine_and_in_a_store_becomes_a_project(
    tmp_path: Path, images: Path
) -> None:
    folder = shards(tmp_path / "shards", images, "json.label")
    listed = tmp_path / "shards.txt"
    listed.write_text(f"# photos\nfile://{folder}/train-{{0..1}}.tar\nshards/val-0.tar\n")
    found = create_project(tmp_path / "project", listed)
    assert found is not None
    assert found.splits == {"train": 18, "val": 9}
    assert (found.data.source, found.data.label_field) == ("webdataset", "json.label")
    assert found.data.path == found.data.root == str(listed)
    params = YAML().load(tmp_path / "project/params.yaml")
    assert params["data"]["path"] == params["data"]["root"] == str(listed)
    listing = list_images(found.data, tmp_path / "project").shards
    assert listing is not None
    assert listing.names[0] == f"file://{folder}/train-0.tar"


@pytest.mark.slow
def test_a_list_in_the_project_stays_in_git(tmp_path: Path, images: Path) -> None:
    shards(tmp_path / "shards", images, "cls")
    listed = tmp_path / "project/shards.txt"
    listed.parent.mkdir()
    listed.write_text("../shards/train-{0..1}.tar\n../shards/val-0.tar\n../shards/test-0.tar\n")
    found = create_project(tmp_path / "project", listed, existing=True)
    assert found is not None
    assert (found.data.path, found.data.root) == ("shards.txt", "shards.txt")
    assert "shards.txt" not in (tmp_path / "project/.gitignore").read_text()


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "a.tar\nb.zip\n", "a.tar.gz\n", "\udcff.tar\n"]
)
def test_another_list_is_not_one_of_shards(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.txt").write_text(text, errors="surrogateescape")
    assert not is_shard_list(tmp_path / "list.txt")
    with pytest.raises(ThawError):
        survey(tmp_path / "list.txt")


def test_a_shard_of_a_list_that_does_not_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "shards.txt").write_text("nowhere.tar\n")
    with pytest.raises(ThawError, match=r"nowhere\.tar is not a file: correct the list"):
        survey(tmp_path / "shards.txt")


def test_each_shard_of_a_remote_list_is_copied_once(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []

    def copy(address: str, target: Path) -> Path:
        copied.append(address)
        shutil.copy(folder / address.rpartition("/")[2], target)
        return target

    folder = shards(tmp_path / "shards", images, "cls")
    (tmp_path / "shards.txt").write_text("s3://photos/{train-0,train-1,val-0,test-0}.tar\n")
    monkeypatch.setattr(shard_files, "_copied", copy)
    found = survey(tmp_path / "shards.txt")
    assert found.splits == {"train": 18, "val": 9, "test": 9}
    assert copied == [f"s3://photos/{name}" for name in NAMES]

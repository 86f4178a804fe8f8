from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests import settings
from tests.data.preprocessing import SMALL
from thaw.data import manifest
from thaw.data.pack_writer import PackWriter
from thaw.data.prepared import Prepared
from thaw.errors import ThawError

if TYPE_CHECKING:
    from pathlib import Path


def changed(folder: Path, **values: object) -> Prepared:
    """Return the prepared data of ``folder`` after a change of its first row."""
    first, *others = manifest.read(folder).rows
    manifest.write([replace(first, **values), *others], folder)  # type: ignore[arg-type]
    return Prepared(folder)


def test_a_folder_without_prepared_data_is_refused_with_the_command_to_run(tmp_path: Path) -> None:
    expected = r"nothing contains no prepared data: run `dvc repro prepare`"
    with pytest.raises(ThawError, match=expected):
        Prepared(tmp_path / "nothing")


def test_the_images_of_a_split_are_those_of_the_manifest(prepared: Prepared) -> None:
    source = prepared.images("val", SMALL)
    assert source.ids.tolist() == list(range(1, 20, 2))
    assert source.targets.tolist() == prepared.manifest.targets[source.ids].tolist()


def test_a_changed_label_or_split_changes_the_digest(prepared: Prepared, tmp_path: Path) -> None:
    digests = {prepared.digest}
    digests.add(changed(tmp_path, label="b").digest)
    digests.add(changed(tmp_path, label="a", split="val").digest)
    assert len(digests) == 3


def test_the_digest_of_a_split_depends_on_its_own_images_only(
    prepared: Prepared, tmp_path: Path
) -> None:
    train, val = (prepared.split_digest(split) for split in ("train", "val"))
    assert train != val
    renamed = changed(tmp_path, label="b")
    assert renamed.split_digest("train") != train
    assert renamed.split_digest("val") == val


def test_the_digest_of_a_split_depends_on_the_pixels(prepared: Prepared, tmp_path: Path) -> None:
    before = prepared.split_digest("train")
    images = [prepared.store.read(number) for number in range(20)]
    images[0][0, 0, 0] ^= 1
    with PackWriter(tmp_path, settings.prepare(encoding="raw")) as writer:
        for image in images:
            writer.add(image)
    assert Prepared(tmp_path).split_digest("train") != before

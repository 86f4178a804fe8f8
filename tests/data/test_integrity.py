from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.damage import KINDS, rotten
from thaw.data import integrity, manifest
from thaw.data.integrity import DamagedError
from thaw.data.packed_store import IMAGES, INDEX, SETTINGS
from thaw.data.prepared import Prepared

if TYPE_CHECKING:
    from pathlib import Path

FILES = (manifest.FILE, IMAGES, INDEX, SETTINGS)
MESSAGE = r" is damaged: .*; run `thaw repair`, then `dvc repro`$"


@pytest.fixture
def folder(prepared: Prepared, tmp_path: Path) -> Path:
    """Return a folder of prepared data as the stage prepare leaves it."""
    del prepared
    integrity.seal(tmp_path / SETTINGS, [manifest.FILE, INDEX])
    return tmp_path


def read_all(folder: Path) -> str:
    """Read all data as the stages do; return their digest."""
    data = Prepared(folder)
    ids = np.arange(len(data.store))
    lengths = (3 * data.store.shapes(ids).prod(axis=1)).tolist()
    data.store.read_into(ids, np.empty(sum(lengths), np.uint8), lengths)
    for number in ids:
        data.store.read(int(number))
    return data.digest


def as_earlier(folder: Path) -> None:
    """Turn the data into those of an earlier version, without checksums and digests."""
    index = np.load(folder / INDEX)
    np.save(folder / INDEX, index[:, :4])
    settings = json.loads((folder / SETTINGS).read_text())
    for key in ("files", "digest", "encoding"):
        del settings[key]
    (folder / SETTINGS).write_text(json.dumps(settings))
    (folder / IMAGES).rename(folder / "images.raw")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_damage_of_any_file_is_named_with_the_command_that_repairs_it(
    folder: Path, name: str, kind: str
) -> None:
    with rotten(folder / name, kind), pytest.raises(DamagedError, match=name + MESSAGE):
        read_all(folder)
    read_all(folder)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DamagedError, match=name + MESSAGE):
        read_all(folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["images.raw", INDEX, SETTINGS, manifest.FILE])
def test_damage_of_data_of_an_earlier_version_changes_no_pixel_in_silence(
    folder: Path, name: str, kind: str
) -> None:
    as_earlier(folder)
    before = read_all(folder)
    with rotten(folder / name, kind):
        try:
            after = read_all(folder)
        except DamagedError:
            return
    if name == manifest.FILE:
        assert after != before  # the digest of the data is that of the manifest
    else:
        assert name != "images.raw"


def test_a_damaged_image_is_found_when_it_is_read_and_others_can_be_read(folder: Path) -> None:
    content = bytearray((folder / IMAGES).read_bytes())
    offset, length = np.load(folder / INDEX)[5, :2]
    content[offset + length - 1] ^= 128
    (folder / IMAGES).write_bytes(content)
    store = Prepared(folder).store
    for number in (4, 6):
        store.read(number)
    place = f"image 5, bytes {offset} to {offset + length - 1};"
    with pytest.raises(DamagedError, match=place):
        store.read(5)


def test_the_error_can_be_sent_to_another_process() -> None:
    error = DamagedError("a is damaged")
    assert str(pickle.loads(pickle.dumps(error))) == "a is damaged"


@pytest.mark.parametrize("content", ["", "[]", "3", "{}", '{"sha256": "x", "files": {"a": "b"}}'])
def test_settings_that_thaw_did_not_write_are_refused(folder: Path, content: str) -> None:
    (folder / SETTINGS).write_text(content)
    with pytest.raises(DamagedError, match=SETTINGS):
        Prepared(folder)

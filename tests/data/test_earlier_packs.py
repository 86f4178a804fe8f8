from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from thaw.data import earlier_packs
from thaw.data.integrity import DamagedError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = np.array([[0, 12, 2, 2], [12, 6, 1, 2]])


def check(folder: Path, rows: list[list[int]], encoding: str = "raw", content: bytes = b"") -> None:
    images = folder / "images"
    images.write_bytes(content or bytes(18))
    sha256 = hashlib.sha256(bytes(18)).hexdigest()
    earlier_packs.check(images, sha256, folder / "index.npy", np.array(rows), encoding)


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_an_intact_pack_is_accepted(tmp_path: Path, encoding: str) -> None:
    check(tmp_path, ROWS.tolist(), encoding)


def test_images_of_a_jpeg_pack_may_have_any_length(tmp_path: Path) -> None:
    check(tmp_path, [[0, 1, 5, 5], [1, 17, 9, 9]], "jpeg")


@pytest.mark.parametrize("content", [bytes(17), bytes(19), bytes(17) + b"x"])
def test_damaged_images_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DamagedError, match="images is damaged"):
        check(tmp_path, ROWS.tolist(), content=content)


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("change", [1, -1, 1 << 40, 1 << 62])
def test_a_damaged_index_is_refused(tmp_path: Path, column: int, change: int) -> None:
    rows = ROWS.copy()
    rows[0, column] += change
    with pytest.raises(DamagedError, match=r"index\.npy is damaged"):
        check(tmp_path, rows.tolist())


@pytest.mark.parametrize("name", ["raw", "jpeg"])
def test_the_name_of_the_images_tells_the_encoding(tmp_path: Path, name: str) -> None:
    (tmp_path / earlier_packs.IMAGES[name]).touch()
    assert earlier_packs.encoding_of(tmp_path) == name

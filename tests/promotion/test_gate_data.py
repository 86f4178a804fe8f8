from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.promotion.offering import offer
from thaw.errors import ThawError
from thaw.promotion.gate_data import open_test_split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.promotion.offered import Shop

DAMAGE: dict[str, Callable[[Path], object]] = {
    "index cut": lambda d: (d / "index.npy").write_bytes((d / "index.npy").read_bytes()[:90]),
    "index empty": lambda d: (d / "index.npy").write_bytes(b""),
    "index gone": lambda d: (d / "index.npy").unlink(),
    "index of fewer images": lambda d: np.save(d / "index.npy", np.load(d / "index.npy")[:5]),
    "index beyond the file": lambda d: np.save(d / "index.npy", np.load(d / "index.npy") * 9),
    "images cut": lambda d: (d / "images.bin").write_bytes(b"123"),
    "images empty": lambda d: (d / "images.bin").write_bytes(b""),
    "images gone": lambda d: (d / "images.bin").unlink(),
    "settings empty": lambda d: (d / "pack.json").write_text(""),
    "settings gone": lambda d: (d / "pack.json").unlink(),
    "manifest empty": lambda d: (d / "manifest.csv").write_text(""),
    "manifest binary": lambda d: (d / "manifest.csv").write_bytes(bytes(range(256))),
    "manifest without columns": lambda d: (d / "manifest.csv").write_text("a,b\n1,2\n"),
    "manifest with a word": lambda d: _edited(d, '0,"0.png"', 'zero,"0.png"'),
    "manifest with a row twice": lambda d: _edited(d, '1,"1.png"', '0,"1.png"'),
}


def _edited(folder: Path, old: str, new: str) -> None:
    path = folder / "manifest.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@contextlib.contextmanager
def replaced(shop: Shop, kept: Path) -> Iterator[None]:
    """Put the prepared data back afterwards."""
    shutil.copytree(shop.prepared, kept)
    try:
        yield
    finally:
        shutil.rmtree(shop.prepared)
        shutil.copytree(kept, shop.prepared)


@pytest.fixture(scope="module")
def name(local: Shop) -> str:
    """A model with a champion and a challenger, which no test of this file promotes."""
    local.register("gate-data")
    local.register("gate-data", "same")
    return "gate-data"


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_data_is_one_line_with_the_commands_that_help(
    damage: str, name: str, local: Shop, tmp_path: Path
) -> None:
    with replaced(local, tmp_path / "kept"):
        DAMAGE[damage](local.prepared)
        with pytest.raises(ThawError) as refused:
            offer(local, name)
    message = str(refused.value)
    assert "\n" not in message
    assert "`dvc repro`" in message
    assert str(local.prepared) in message
    assert local.aliases(name) == {"champion": 1, "challenger": 2}
    assert len(local.ledger(name).rows()) == 1


def test_data_without_test_images_is_named(local: Shop, tmp_path: Path) -> None:
    with replaced(local, tmp_path / "kept"):
        path = local.prepared / "manifest.csv"
        path.write_text(path.read_text().replace('"test"', '"train"'))
        with pytest.raises(ThawError, match=r"has no test images.*prepare\.test_fraction"):
            open_test_split(local.prepared)
    assert len(open_test_split(local.prepared).manifest.ids("test")) == 240


def test_test_images_of_one_class_are_refused(local: Shop, tmp_path: Path) -> None:
    with replaced(local, tmp_path / "kept"):
        path = local.prepared / "manifest.csv"
        lines = path.read_text().splitlines()
        kept = [line if '"cat"' in line else line.replace('"test"', '"train"') for line in lines]
        path.write_text("\n".join(kept) + "\n")
        with pytest.raises(ThawError, match=r"all test images of .* are of the class cat, so that"):
            open_test_split(local.prepared)


@pytest.mark.parametrize(
    "text", ["<<<<<<< HEAD\nstages:\n", "[]", "stages: 3", "stages: {a: {outs: [1]}}", "{", "\x00"]
)
def test_a_malformed_lock_is_one_line(text: str, name: str, local: Shop) -> None:
    lock = local.folder / "dvc.lock"
    before = lock.read_text()
    lock.write_text(text)
    try:
        with pytest.raises(ThawError, match=r"dvc\.lock .*`git checkout dvc\.lock`") as refused:
            offer(local, name)
    finally:
        lock.write_text(before)
    assert "\n" not in str(refused.value)

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.damage import KINDS, damaged
from thaw.system import checksums

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = np.random.default_rng(0).bytes(10_000)


def test_a_checksum_fits_into_an_int64_and_is_the_same_in_every_process() -> None:
    # Computed by `xxhsum -H3` of xxHash 0.8.
    assert checksums.checksum(b"") & (1 << 64) - 1 == 0x2D06800538D394C2
    assert np.int64(checksums.checksum(CONTENT)) == checksums.checksum(CONTENT)
    assert checksums.checksum(memoryview(CONTENT)) == checksums.checksum(CONTENT)


@pytest.mark.parametrize("content", [b"", b"a", CONTENT])
def test_a_sealed_file_is_read_back_and_may_be_sealed_in_place(
    tmp_path: Path, content: bytes
) -> None:
    assert checksums.unsealed(checksums.sealed(content)) == content
    path = tmp_path / "file"
    path.write_bytes(content)
    checksums.seal_file(path)
    assert path.read_bytes() == checksums.sealed(content)
    assert checksums.is_sealed(path)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found(tmp_path: Path, kind: str) -> None:
    content = damaged(checksums.sealed(CONTENT), kind)
    assert checksums.unsealed(content) is None
    (tmp_path / "file").write_bytes(content)
    assert not checksums.is_sealed(tmp_path / "file")


def test_files_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(checksums.sealed(CONTENT))
    for block in (1, 7, 4096, 10_000):
        monkeypatch.setattr(checksums, "_BLOCK", block)
        assert checksums.is_sealed(path)


def test_a_missing_or_short_file_is_not_sealed(tmp_path: Path) -> None:
    assert not checksums.is_sealed(tmp_path / "gone")
    (tmp_path / "short").write_bytes(b"short")
    assert not checksums.is_sealed(tmp_path / "short")
    assert checksums.unsealed(b"short") is None

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest

from benchmarks.datasets import packages
from benchmarks.datasets.packages import Package, unpacked

if TYPE_CHECKING:
    from pathlib import Path


def _archive(mode: Literal["w:gz", "w:xz"]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        info = tarfile.TarInfo("./usr/share/a.txt")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    return stream.getvalue()


def _debian(members: dict[str, bytes]) -> bytes:
    content = b"!<arch>\n"
    for name, body in members.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n"
        content += header.encode() + body + b"\n" * (len(body) % 2)
    return content


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(packages, "CACHE", tmp_path)
    return tmp_path


@pytest.mark.parametrize("source", ["debian", "npm"])
def test_a_downloaded_package_is_unpacked(cache: Path, source: str) -> None:
    content = _archive("w:gz")
    if source == "debian":
        body = _archive("w:xz")
        content = _debian({"debian-binary": b"2.0", "data.tar.xz": body})
    package = Package("debian", "some", "1", hashlib.sha256(content).hexdigest())
    package = replace(package, source="npm" if source == "npm" else "debian")
    package.file.write_bytes(content)
    assert (unpacked(package) / "usr/share/a.txt").read_bytes() == b"abc"
    assert unpacked(package) == cache / "packages/some"


def test_a_download_with_another_digest_is_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(_: Package, folder: Path) -> Path:
        path = folder / "some.deb"
        path.write_bytes(b"other")
        return path

    monkeypatch.setattr(packages, "_by_apt", download)
    with pytest.raises(SystemExit, match=r"the file has the SHA-256 d9298a.*not 0000"):
        unpacked(Package("debian", "some", "1", "0000"))
    assert not (cache / "some.deb").exists()


def test_a_package_that_cannot_be_fetched_names_the_place_for_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(cache))  # without npm
    with pytest.raises(SystemExit, match=r"fetch it by hand and save it as .*some\.tgz"):
        unpacked(Package("npm", "some", "1", "0000"))

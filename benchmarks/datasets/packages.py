"""Packages of Debian and npm that contain images: download, check and unpack them once.

Everything is kept in a folder that git ignores.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

CACHE = Path(__file__).parent.parent / ".cache"


@dataclass(frozen=True)
class Package:
    """A version of a package, with the SHA-256 of its file.

    ``url`` is where the file of a Debian package is, for systems that have another version; ""
    means that only the package manager can fetch it.
    """

    source: Literal["debian", "npm"]
    name: str
    version: str
    sha256: str
    url: str = ""

    @property
    def file(self) -> Path:
        """Return the place of the downloaded file."""
        ending = "deb" if self.source == "debian" else "tgz"
        return CACHE / f"{self.name}.{ending}"


def unpacked(package: Package) -> Path:
    """Return the folder of an unpacked package; download and unpack it if it is missing."""
    target = CACHE / "packages" / package.name
    if not target.is_dir():
        file = _downloaded(package)
        part = empty(CACHE / f"{package.name}.part")
        if package.source == "debian":
            _unpack_debian(file, part)
        else:
            _unpack_tar(file, part)
        target.parent.mkdir(exist_ok=True)
        part.rename(target)
    return target


def empty(folder: Path) -> Path:
    """Return ``folder`` as an empty folder below the cache, which git ignores."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _downloaded(package: Package) -> Path:
    """Return the package's file, whose digest is checked.

    Raises:
        SystemExit: no way to fetch it gave the file with this digest.
    """
    if package.file.exists():
        return package.file
    ways: dict[str, Callable[[Package, Path], Path]] = {}
    if package.source == "npm":
        ways["npm pack"] = _by_npm
    else:
        ways["apt-get download"] = _by_apt
        if package.url:
            ways[package.url] = _by_url
    problems = []
    for name, download in ways.items():
        try:
            path = download(package, empty(CACHE / "download"))
        except (OSError, subprocess.SubprocessError) as error:
            problems.append(f"  {name}: {error}")
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest == package.sha256:
            return path.rename(package.file)
        problems.append(f"  {name}: the file has the SHA-256 {digest}, not {package.sha256}")
    raise SystemExit(
        f"error: {package.source}'s package {package.name} {package.version} could not be "
        "fetched:\n" + "\n".join(problems) + f"\nfetch it by hand and save it as {package.file}"
    )


def _by_apt(package: Package, folder: Path) -> Path:
    command = ["apt-get", "download", "--quiet", f"{package.name}={package.version}"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return next(folder.glob("*.deb"))


def _by_npm(package: Package, folder: Path) -> Path:
    command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return next(folder.glob("*.tgz"))


def _by_url(package: Package, folder: Path) -> Path:
    path = folder / "package.deb"
    with urllib.request.urlopen(package.url, timeout=60) as response, path.open("wb") as stream:
        shutil.copyfileobj(response, stream)
    return path


def _unpack_debian(file: Path, folder: Path) -> None:
    """Extract ``data.tar.xz`` from the ar archive of a Debian package, without ``dpkg``."""
    content = memoryview(file.read_bytes())
    place = len(b"!<arch>\n")
    while place < len(content):
        header = bytes(content[place : place + 60])
        name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
        body = content[place + 60 : place + 60 + size]
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(body)) as archive:
                _extract(archive, folder)
        place += 60 + size + size % 2


def _unpack_tar(file: Path, folder: Path) -> None:
    with tarfile.open(file) as archive:
        _extract(archive, folder)


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Extract what lies in the folder; Python before 3.11.4 has no filter for the rest."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:
        archive.extractall(folder)  # the SHA-256 of the package was compared

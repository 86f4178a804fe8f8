"""A data set of free images with eight classes: Debian's package ``openclipart-png``.

The package is downloaded once into a folder that git ignores. The variant ``few`` has 30 training
and 10 validation images per class, and tests on all others. ``all`` has 60 % training, 10 %
validation and 30 % test images. Both are ``train/ val/ test/`` folders. The seed draws the split,
and near-duplicates stay in one split.

    python -m benchmarks.clipart_dataset    download the package, write and count the images
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
import urllib.request
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from thaw.data.decoding import DecodeError, decode
from thaw.ingest.duplicates import difference_hash, near_groups

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Variant = Literal["few", "all"]

CACHE = Path(__file__).parent / ".cache"
SUBJECTS = (
    "animals", "buildings", "food", "people", "plants", "recreation", "tools", "transportation",
)  # fmt: skip
CAP = 280  # images per class
NEAR = 5  # bits, as `prepare.near_duplicates`
ALIKE = 3  # images kept of each group of near-duplicates, such as the many playing cards
_FEW = {"train": 30, "val": 10}
_ALL = {"train": 0.6, "val": 0.1}
_SHORT_SIDE = 128
_LEAST_SIDE = 32
_MOST_MEGAPIXELS = 50.0
_PACKAGE, _VERSION = "openclipart-png", "1:0.18+dfsg-19"
_URL = "http://deb.debian.org/debian/pool/main/o/openclipart/openclipart-png_0.18+dfsg-19_all.deb"
_SHA256 = "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02"


def dataset(variant: Variant, seed: int) -> Path:
    """Return a folder with ``train/ val/ test/``, each with one folder per subject."""
    target = CACHE / f"clipart-{variant}-{seed}"
    if not target.is_dir():
        source = images()
        part = empty(target.with_suffix(".part"))
        for path, split in divide(source, variant, seed).items():
            place = part / split / path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / path, place)
        part.rename(target)
    return target


def divide(source: Path, variant: Variant, seed: int) -> dict[str, str]:
    """Return the split of each image below ``source``; a group of near-duplicates is never divided.

    Groups are taken in the order of a hash of (seed, group). A group goes to training if there is
    room in the classes of all its images, else to validation, else to test.
    """
    paths = sorted(str(path.relative_to(source)) for path in source.rglob("*.png"))
    totals = Counter(path.split("/")[0] for path in paths)
    room: dict[tuple[str, str], float] = {}
    for label, total in totals.items():
        for split in ("train", "val"):
            room[split, label] = _FEW[split] if variant == "few" else round(total * _ALL[split])
    members = defaultdict(list)
    for path, group in zip(paths, _groups(source, paths), strict=True):
        members[group].append(path)
    splits: dict[str, str] = {}
    for group in sorted(members, key=lambda name: _rank(f"{seed}:{name}")):
        wanted = Counter(path.split("/")[0] for path in members[group])
        fits = (s for s in ("train", "val") if all(room[s, c] >= n for c, n in wanted.items()))
        place = next(fits, "test")
        for label, count in wanted.items():
            room[place, label] = room.get((place, label), 0) - count
        splits |= dict.fromkeys(members[group], place)
    return splits


def images() -> Path:
    """Return a folder with one folder per subject, of at most ``CAP`` images each.

    The images have a white background and a shorter side of 128 pixels.
    """
    target = CACHE / "clipart"
    if not target.is_dir():
        part = empty(target.with_suffix(".part"))
        source = fetch()
        for path, name in chosen(source).items():
            place = part / name
            place.parent.mkdir(parents=True, exist_ok=True)
            _pixels(path).save(place)
        part.rename(target)
    return target


def chosen(source: Path) -> dict[Path, str]:
    """Return the selected files with their names ``SUBJECT/DIGEST.png``.

    Images are left out that cannot be decoded, are tiny or huge, repeat another image, belong to
    two subjects, or exceed ``ALIKE`` in a group of near-duplicates. A hash of the pixels decides
    the order of selection.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    hashes: dict[str, int | None] = {}
    for path in sorted(p for subject in SUBJECTS for p in (source / subject).rglob("*.png")):
        try:
            pixels = np.asarray(_pixels(path))
        except DecodeError:
            continue
        if min(pixels.shape[:2]) >= _LEAST_SIDE:
            digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
            found[digest].append(path)
            hashes[digest] = difference_hash(pixels)
    near = dict(zip(hashes, near_groups(list(hashes), list(hashes.values()), NEAR), strict=True))
    taken: Counter[str] = Counter()
    result = {}
    for digest in sorted(found, key=_rank):
        subjects = {path.relative_to(source).parts[0] for path in found[digest]}
        subject = min(subjects)
        if len(subjects) > 1 or taken[subject] >= CAP or taken[near[digest]] >= ALIKE:
            continue
        taken.update([subject, near[digest]])
        result[found[digest][0]] = f"{subject}/{digest[:16]}.png"
    return result


def fetch() -> Path:
    """Return the package's folder of subjects; download and unpack it if it is missing."""
    target = CACHE / "openclipart"
    if not target.is_dir():
        part = empty(target.with_suffix(".part"))
        _unpack(_package(), part)
        part.rename(target)
    return target / "usr/share/openclipart/png"


def _package() -> Path:
    """Return the package's file, from the system's mirror or from Debian."""
    target = CACHE / "openclipart-png.deb"
    if target.exists():
        return target
    problems = []
    for download in (_by_apt, _by_url):
        try:
            path = download(empty(CACHE / "download"))
        except (OSError, subprocess.SubprocessError) as error:
            problems.append(f"  {download.__name__.removeprefix('_by_')}: {error}")
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest == _SHA256:
            return path.rename(target)
        problems.append(f"  {path.name} has the SHA-256 {digest}, not {_SHA256}")
    raise SystemExit(
        f"error: the package {_PACKAGE} {_VERSION} could not be fetched:\n"
        + "\n".join(problems)
        + f"\nfetch {_URL} by hand and save it as {target}"
    )


def _by_apt(folder: Path) -> Path:
    command = ["apt-get", "download", "--quiet", f"{_PACKAGE}={_VERSION}"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return next(folder.glob("*.deb"))


def _by_url(folder: Path) -> Path:
    path = folder / "package.deb"
    with urllib.request.urlopen(_URL, timeout=60) as response, path.open("wb") as stream:
        shutil.copyfileobj(response, stream)
    return path


def _unpack(package: Path, folder: Path) -> None:
    """Extract ``data.tar.xz`` from the ar archive of a Debian package, without ``dpkg``."""
    content = memoryview(package.read_bytes())
    place = len(b"!<arch>\n")
    while place < len(content):
        header = bytes(content[place : place + 60])
        name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
        body = content[place + 60 : place + 60 + size]
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(body)) as archive:
                archive.extractall(folder, filter="data")
        place += 60 + size + size % 2


def _pixels(path: Path) -> Image.Image:
    content = path.read_bytes()
    decoded = decode(content, short_side=_SHORT_SIDE, max_megapixels=_MOST_MEGAPIXELS)
    return Image.fromarray(decoded.pixels)


def _groups(source: Path, paths: Sequence[str]) -> list[str]:
    pixels = [np.asarray(Image.open(source / path)) for path in paths]
    return near_groups(paths, [difference_hash(image) for image in pixels], NEAR)


def _rank(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def empty(folder: Path) -> Path:
    """Return ``folder`` as an empty folder below the cache, which git ignores."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def main() -> None:
    """Download the package, write the images, and print their numbers."""
    source = images()
    table = Table(title="clip art, images a class")
    for name in ("class", "images", "few: train / val / test", "all: train / val / test"):
        table.add_column(name)
    counts: dict[str, Mapping[tuple[str, str], int]] = {}
    for variant in ("few", "all"):
        found = divide(source, variant, 0)
        counts[variant] = Counter((path.split("/")[0], split) for path, split in found.items())
    for label in SUBJECTS:
        cells = [
            " / ".join(str(counts[variant][label, split]) for split in ("train", "val", "test"))
            for variant in ("few", "all")
        ]
        table.add_row(label, str(len(list((source / label).iterdir()))), *cells)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()

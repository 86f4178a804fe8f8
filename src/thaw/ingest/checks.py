"""What must hold of the images before anything trains; every problem is found in one pass."""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter, defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.data.decoding import DecodeError, decode
from thaw.data.packed_store import pack_problem
from thaw.ingest.duplicates import difference_hash
from thaw.system.files import resolved

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from thaw.config.data_sections import Prepare
    from thaw.ingest.sources import Listing, Sample

    Pixels = NDArray[np.uint8]

_IN_FLIGHT = 4  # decoded images a core that may wait for the writer: bounds the memory


@dataclass(frozen=True)
class Facts:
    """A readable sample: ``digest`` of the file, ``group`` of the pixels (equal pixels, one group).

    ``width`` and ``height`` are the image's own; ``conversions`` names what decoding changed;
    ``hash`` is the difference hash, where near-duplicates are looked for and it says something.
    """

    sample: Sample
    digest: str
    group: str
    width: int
    height: int
    conversions: tuple[str, ...]
    hash: int | None


def read_all(found: Listing, config: Prepare) -> Iterator[tuple[Facts, Pixels] | str]:
    """Decode every sample, in order, on all cores; a problem comes as its line of text."""
    root = found.root.resolve()
    cores = os.cpu_count() or 1
    waiting: deque[Future[tuple[Facts, Pixels] | str]] = deque()
    # Pillow and hashlib release the GIL, so threads are enough and copy nothing.
    with ThreadPoolExecutor(max_workers=cores) as pool:
        try:
            for sample in found.samples:
                waiting.append(pool.submit(_read, found.root, root, sample, config))
                if len(waiting) > _IN_FLIGHT * cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _read(
    root: Path, resolved_root: Path, sample: Sample, config: Prepare
) -> tuple[Facts, Pixels] | str:
    path = root / sample.path
    try:
        sample.path.encode("utf-8")
        if not resolved(path).is_relative_to(resolved_root):
            return f"{path}: leads out of the data folder {root}"
        if path.exists() and not path.is_file():
            return f"{path}: not a file"
        content = path.read_bytes()
        image = decode(content, short_side=config.short_side, max_megapixels=config.max_megapixels)
    except UnicodeEncodeError:
        return f"{path!r}: the file's name is not valid UTF-8"
    except ValueError as error:
        return f"{str(path)!r}: {error}"
    except OSError as error:
        return f"{path}: {error.strerror or error}"
    except DecodeError as error:
        return f"{path}: {error}"
    if problem := pack_problem(image.pixels, config):
        return f"{path}: {problem}"
    pixels = hashlib.sha256(repr(image.pixels.shape).encode())
    pixels.update(image.pixels.ravel().data)
    facts = Facts(
        sample=sample,
        digest=hashlib.sha256(content).hexdigest(),
        group=pixels.hexdigest(),
        width=image.width,
        height=image.height,
        conversions=image.conversions,
        hash=difference_hash(image.pixels) if config.near_duplicates else None,
    )
    return facts, image.pixels


def class_problems(found: Listing) -> list[str]:
    """Fewer than two classes, and classes with no image at all."""
    if not found.samples and not found.problems:
        return [f"{found.root}: there is no image in it"]
    filled = {sample.label for sample in found.samples}
    problems = [
        f"{next(found.root.rglob(glob.escape(label)))}: "
        "the class has no image; add some, or remove the folder"
        for label in found.classes
        if label not in filled
    ]
    if len(filled) == 1:
        problems.append(
            f"{found.root}: there is only one class ({filled.pop()}); a classifier needs two"
        )
    return problems


def duplicates(paths: Sequence[str], groups: Sequence[str]) -> list[list[str]]:
    """Paths of the images of each group, a list a group of two or more."""
    members: dict[str, list[str]] = defaultdict(list)
    for path, group in zip(paths, groups, strict=True):
        members[group].append(path)
    return [names for names in members.values() if len(names) > 1]


def label_conflicts(
    paths: Sequence[str], labels: Sequence[str], groups: Sequence[str]
) -> list[list[str]]:
    """Groups that carry more than one label, as ``path (label)``."""
    members: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, label, group in zip(paths, labels, groups, strict=True):
        members[group].append((path, label))
    return [
        [f"{path} ({label})" for path, label in found]
        for found in members.values()
        if len({label for _, label in found}) > 1
    ]


def leaks(groups: Sequence[str], splits: Sequence[str]) -> int:
    """Images outside the training split whose group also stands in another split."""
    places: dict[str, set[str]] = defaultdict(set)
    for group, split in zip(groups, splits, strict=True):
        places[group].add(split)
    return sum(
        split != "train" and len(places[group]) > 1
        for group, split in zip(groups, splits, strict=True)
    )


def conversion_counts(images: Sequence[tuple[str, ...]]) -> dict[str, int]:
    """How many images each conversion was applied to, the most frequent first."""
    return dict(Counter(name for names in images for name in names).most_common())

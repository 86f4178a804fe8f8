"""A first look at a set of images: classes, counts, splits and sizes."""

from __future__ import annotations

import os.path
import statistics
import tarfile
import zipfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.config.data_sections import Data
from thaw.config.prepare_section import Prepare
from thaw.config.source_names import has_image_files
from thaw.data.decoding import EXTENSIONS, FORMATS
from thaw.data.file_kinds import DAMAGED, reason_not_opened
from thaw.errors import ProblemsError, ThawError
from thaw.ingest.checks import class_problems
from thaw.ingest.hub_files import is_hub_folder
from thaw.ingest.label_checks import similarity_problems
from thaw.ingest.listing import BadFile
from thaw.ingest.reading import allowed_of, refusal
from thaw.ingest.source_notes import source_notes
from thaw.ingest.sources import list_images
from thaw.ingest.splits import split_problems
from thaw.projects.hub_survey import list_local_hub
from thaw.projects.sampled_sizes import sampled, sampled_sizes, shape_problems
from thaw.projects.shard_survey import is_shard_list, list_all_shards
from thaw.system.path_texts import refuse_undecodable

if TYPE_CHECKING:
    from thaw.data.pack_resolution import PixelSize
    from thaw.ingest.listing import Listing

_FEWEST_CLASSES = 2
_HEAD = 4096  # bytes
_USABLE = "give a folder with a folder per class, or a CSV file with the columns path,label[,split]"


@dataclass(frozen=True)
class Survey:
    """Facts about a set of images before they are prepared.

    Attributes:
        data: The section ``data`` that names the images.
        counts: The number of images of each class; of files, if it ``has_unusable_files``.
        splits: The number of images of each split that the source brings; empty if none.
        sizes: Of a sample of the images.
        problems: What ``prepare`` will refuse.
        notes: How the source was understood.
        has_clear_layout: Whether it is clear which folders are classes; else a problem says how to
            make it clear.
        has_unusable_files: Whether files that cannot be opened, or are no images, are counted.
    """

    data: Data
    counts: dict[str, int]
    splits: dict[str, int] = field(default_factory=dict)
    sizes: list[PixelSize] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    has_clear_layout: bool = True
    has_unusable_files: bool = False

    @property
    def short_sides(self) -> list[int]:
        """Return the short sides of the images in ``sizes`` in pixels."""
        return [min(size) for size in self.sizes]

    @property
    def median_side(self) -> int | None:
        """Return the median short side in pixels; None if no image could be read."""
        return int(statistics.median_low(self.short_sides)) if self.short_sides else None

    def refuse_useless(self) -> None:
        """Raise if there are fewer than two classes with images: no classifier can learn from them.

        Raises:
            ProblemsError: lists what is wrong with the images.
        """
        if sum(count > 0 for count in self.counts.values()) < _FEWEST_CLASSES:
            remedy = _remedy(Path(self.data.path)) if self.has_clear_layout else ""
            raise ProblemsError("--images: no classifier can be trained", self.problems, remedy)


def survey(path: Path) -> Survey:
    """Look at the images that ``path`` names: a folder, a CSV file, or a list of tar shards.

    The folder has images or, if it has none, tar shards or a data set of the Hub. Relative
    paths in a CSV file start at its folder. Where all of its paths are absolute, ``data.root`` is
    the deepest folder that contains all images.

    Raises:
        ThawError: there is no such folder or file, its path is not valid text, the CSV file is not
            valid, or no field of the shards has labels.
    """
    if not path.exists():
        raise ThawError(f"--images: there is no {path}: give a folder of images, or a CSV file")
    refuse_undecodable(path, "--images")
    if path.is_file():
        _refuse_other_file(path)
    if path.is_file() and is_shard_list(path):
        return _survey_of(*list_all_shards(path))
    is_csv = path.is_file()
    root = path.parent if is_csv else path
    data = Data(source="csv" if is_csv else "folder", path=str(path), root=str(root))
    found = list_images(data, Path())
    if is_csv and (folder := _folder_of_absolute(found)):
        data = data.model_copy(update={"root": str(folder)})
        found.root = folder
    has_shards_only = all(sample.path.endswith(".tar") for sample in found.samples)
    if not is_csv and has_shards_only and any(path.rglob("*.tar")):
        data, found = list_all_shards(path)
    elif not is_csv and _is_hub_set(path, found):
        data, found = list_local_hub(path)
    return _survey_of(data, found)


def _survey_of(data: Data, found: Listing) -> Survey:
    counts = Counter(sample.label for sample in found.samples)
    sizes = sampled_sizes(found)
    unusable = _file_problems(found, sizes) if has_image_files(data.source) else []
    return Survey(
        data,
        {label: counts[label] for label in found.classes},
        dict(Counter(sample.split for sample in found.samples if sample.split)),
        list(sizes.values()),
        [
            *found.problems,
            *(bad.line(found.root) for bad in found.bad_files),
            *unusable,
            *class_problems(found),
            *similarity_problems(found),
            *_too_few(found),
            *shape_problems(found, sizes),
        ],
        source_notes(found, Prepare()),
        found.has_clear_layout,
        bool(unusable),
    )


def _folder_of_absolute(found: Listing) -> Path | None:
    """Return the deepest folder that contains all images; None if a path is relative.

    None, too, if only the root of the file system contains all: DVC would read every file there.
    """
    folders = {os.path.dirname(sample.path) for sample in found.samples}  # noqa: PTH120
    if not folders or not all(map(os.path.isabs, folders)):
        return None
    folder = Path(os.path.commonpath(map(os.path.abspath, folders)))
    if folder == Path(folder.anchor):
        return None
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _file_problems(found: Listing, sizes: dict[str, PixelSize]) -> list[str]:
    """Return a line for each file of a sample that cannot be opened, or is clearly no image."""
    allowed = allowed_of(found)
    named = ((sample.path, refusal(allowed, sample)) for sample in sampled(found))
    lines = [BadFile(path, reason).line(found.root) for path, reason in named if reason]
    for sample in sampled(found):
        file = found.root / sample.path
        if file.suffix.lower() in EXTENSIONS or sample.path in sizes or not file.is_file():
            continue
        with suppress(OSError), file.open("rb") as stream:
            reason = reason_not_opened(stream.read(_HEAD), FORMATS)
            if not reason.startswith(DAMAGED):  # `prepare` reads all of it
                lines.append(BadFile(sample.path, reason).line(found.root))
    return lines


def _is_hub_set(path: Path, found: Listing) -> bool:
    """Return whether ``path`` has a data set of the Hub, and not images in folders of classes."""
    endings = {Path(sample.path).suffix for sample in found.samples}
    classes = {sample.label for sample in found.samples}
    return (len(classes) < _FEWEST_CLASSES or endings == {".parquet"}) and is_hub_folder(path)


def _too_few(found: Listing) -> list[str]:
    """Return a line for each class with too few images for three splits; none if splits are given.

    Copies are not recognised: `prepare` may find fewer distinct images.
    """
    if any(sample.split for sample in found.samples):
        return []
    samples = list(found.samples)
    return split_problems([each.label for each in samples], [each.path for each in samples])


def _remedy(path: Path) -> str:
    """Return how images are arranged, and which CSV files in the folder ``path`` may be meant."""
    tables = sorted(path.glob("*.csv")) if path.is_dir() else []
    if tables:
        return f"if {tables[0]} has the columns path,label[,split], give it: --images {tables[0]}"
    return (
        "put the images of each class into a folder of its own, or give a CSV file with the "
        "columns path,label[,split]"
    )


def _refuse_other_file(path: Path) -> None:
    """Raise if the file ``path`` is known to be no CSV file.

    Raises:
        ThawError: it is an image, an archive, a file of a data set, or JSON.
    """
    if path.suffix.lower() in EXTENSIONS:
        problem = f"is one image: {_USABLE}"
    elif zipfile.is_zipfile(path) or tarfile.is_tarfile(path):
        problem = "is an archive: unpack it and give the folder with the images"
        if tarfile.is_tarfile(path):
            problem += "; if it is a shard of the webdataset format, give the folder of the shards"
    elif path.suffix.lower() in {".parquet", ".arrow"}:
        problem = "is one file of a data set: give its folder instead"
    elif path.suffix.lower() in {".json", ".jsonl"}:
        problem = f"is JSON: {_USABLE}"
    else:
        return
    raise ThawError(f"--images: {path} {problem}")

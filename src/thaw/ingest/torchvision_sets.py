"""Labelled data sets of torchvision: ``data.source: torchvision:OxfordIIITPet``.

The files of a set are below ``data.path``, where torchvision puts them; what is not there is
downloaded. Images are read as the files that torchvision has; sets that keep all pixels in one file
are written as PNG. The splits are those of the set.
"""

from __future__ import annotations

import difflib
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thaw.data.split_names import TEST, TRAIN, VAL
from thaw.errors import ThawError
from thaw.ingest.listing import Listing, Sample
from thaw.system.console import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from PIL import Image

PREFIX = "torchvision:"
_PARTIAL = ".download"  # folder of a download that has not ended


@dataclass(frozen=True)
class _Set:
    """Arguments with which a class of torchvision gives a data set.

    ``splits`` has the arguments for each split, by thaw's name; None means that there is one set of
    images. ``files`` says where the paths of images are: ``loader`` stands for the argument that
    reads them, another text for an attribute (torchvision has no public one for these sets), ""
    for sets without files of images.
    """

    splits: Mapping[str | None, dict[str, Any]]
    files: str = "loader"


def _by_name(val: str | None = None, train: str = "train") -> Any:
    names = {TRAIN: train, VAL: val, TEST: "test"}
    return {split: {"split": name} for split, name in names.items() if name}


_NO_SPLIT: Any = {None: {}}
_BY_FLAG: Any = {TRAIN: {"train": True}, TEST: {"train": False}}
SETS: Mapping[str, _Set] = {
    "CIFAR10": _Set(_BY_FLAG, ""),
    "CIFAR100": _Set(_BY_FLAG, ""),
    "Country211": _Set(_by_name("valid")),
    "DTD": _Set(_by_name("val")),
    "EuroSAT": _Set(_NO_SPLIT),
    "FGVCAircraft": _Set(_by_name("val")),
    "FashionMNIST": _Set(_BY_FLAG, ""),
    "Flowers102": _Set(_by_name("val")),
    "Food101": _Set(_by_name()),
    "GTSRB": _Set(_by_name(), "_samples"),
    # It has no test split: papers report accuracies on its validation split.
    "Imagenette": _Set({TRAIN: {"split": "train"}, TEST: {"split": "val"}}),
    "KMNIST": _Set(_BY_FLAG, ""),
    "MNIST": _Set(_BY_FLAG, ""),
    "OxfordIIITPet": _Set(_by_name(train="trainval"), "_images"),
    "RenderedSST2": _Set(_by_name("val")),
    "STL10": _Set(_by_name(), ""),
    "SUN397": _Set(_NO_SPLIT),
    "SVHN": _Set(_by_name(), ""),
    "StanfordCars": _Set(_by_name()),
    "USPS": _Set(_BY_FLAG, ""),
}


def list_torchvision(source: str, root: Path, scratch: Path) -> Listing:
    """List the data set ``source``, such as ``torchvision:DTD``, whose files are below ``root``.

    Pixels of sets without files of images are written below ``scratch``.

    Raises:
        ThawError: torchvision has no such set, or its files are not there and cannot be downloaded.
    """
    refuse_unknown(source)
    name = source.removeprefix(PREFIX)
    known = SETS[name]
    opened = _opened(name, root)
    folder = root if known.files else scratch / name
    samples = []
    for split, dataset in opened.items():
        found = _files(dataset, known.files) if known.files else _written(dataset, folder, split)
        for path, target in found:
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            samples.append(Sample(relative, _label(dataset, target), split))
    return Listing(folder, samples, sorted({sample.label for sample in samples}))


def refuse_unknown(source: str) -> None:
    """Raise if ``source`` is none of the known data sets.

    Raises:
        ThawError: names the nearest one.
    """
    name = source.removeprefix(PREFIX)
    if name not in SETS:
        near = difflib.get_close_matches(name, SETS, n=1)
        hint = f"did you mean {PREFIX}{near[0]}?" if near else f"known are {', '.join(SETS)}"
        raise ThawError(f"data.source: there is no data set {source}: {hint}")


def _opened(name: str, root: Path) -> dict[str | None, Any]:
    """Return torchvision's objects of all splits; download what is missing.

    Raises:
        ThawError: the set cannot be downloaded, or a part of it is there.
    """
    try:
        return _open(name, root, download=False)
    except (RuntimeError, OSError):  # torchvision raises them where files are missing
        say(f"{PREFIX}{name} is not in {root}: it is downloaded")
    partial = root / _PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _open(name, partial, download=True)
        _move(partial, root)
        return _open(name, root, download=False)
    except ThawError:
        raise
    except Exception as error:  # whatever torchvision raises without network, or for a moved file
        raise ThawError(
            f"{PREFIX}{name} is not in {root} and cannot be downloaded: {error}. Where there is a "
            f'network, run `python -c "from torchvision.datasets import {name}; {_call(name)}"`, '
            f"and copy what it writes into {root}"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _move(partial: Path, root: Path) -> None:
    """Move a whole set from ``partial`` to ``root``: a download that was killed is never seen.

    Raises:
        ThawError: ``root`` has a folder of the set, whose files are not overwritten.
    """
    found = list(partial.iterdir())
    for path in found:
        if (there := root / path.name).is_dir():
            raise ThawError(
                f"{there} has a part of the data set, and nothing is overwritten: remove or rename "
                "this folder, and run the same command"
            )
    for path in found:
        path.replace(root / path.name)


def _call(name: str) -> str:
    """Return the Python code that downloads the set into the working directory."""
    calls = []
    for arguments in SETS[name].splits.values():
        named = "".join(f", {key}={value!r}" for key, value in arguments.items())
        calls.append(f"{name}('.'{named}, download=True)")
    return "; ".join(calls)


def _open(name: str, root: Path, *, download: bool) -> dict[str | None, Any]:
    from torchvision import datasets

    known = SETS[name]
    loader = {"loader": _path_itself} if known.files == "loader" else {}
    return {
        split: getattr(datasets, name)(root, **arguments, **loader, download=download)
        for split, arguments in known.splits.items()
    }


def _path_itself(path: str | Path) -> str | Path:
    """Return ``path``: torchvision calls this in place of a function that reads an image."""
    return path


def _files(dataset: Any, files: str) -> Iterator[tuple[str | Path, Any]]:
    """Yield the path and the target of each image."""
    if files == "loader":
        yield from (dataset[index] for index in range(len(dataset)))
        return
    for index, listed in enumerate(getattr(dataset, files)):
        if isinstance(listed, tuple):
            yield listed
        else:
            yield listed, dataset._labels[index]


def _written(dataset: Any, folder: Path, split: str | None) -> Iterator[tuple[Path, Any]]:
    """Write the images that are not in ``folder`` yet; yield the path and the target of each."""
    place = folder / (split or "all")
    place.mkdir(parents=True, exist_ok=True)
    for index in range(len(dataset)):
        image, target = dataset[index]
        path = place / f"{index:06d}.png"
        if not path.is_file() or path.is_symlink():
            _write(image, path)
        yield path, target


def _write(image: Image.Image, path: Path) -> None:
    partial = path.with_suffix(".part")
    partial.unlink(missing_ok=True)  # a link would be written through
    image.save(partial, "PNG")
    partial.replace(path)


def _label(dataset: Any, target: Any) -> str:
    """Return the name of a class, or its number where the set has no names."""
    names = getattr(dataset, "classes", None)
    name = names[int(target)] if names else int(target)
    return str(name[0] if isinstance(name, tuple) else name)  # Imagenette has synonyms

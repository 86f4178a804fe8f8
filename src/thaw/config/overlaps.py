"""What the project writes and removes, and the refusal to have that overlap with what it reads.

A stage removes or overwrites its outputs. An image, a CSV file or a weights file that lies in one
of them would be lost, and a folder that holds an output would be read together with it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from thaw.config.data_sections import Data
from thaw.config.loading import PARAMS_FILE, load
from thaw.config.model_sections import Backbone
from thaw.config.section import Section
from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from thaw.config.params import Params

Relation = Literal["is", "lies in", "contains"]
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Place:
    """A file or folder, and who writes or removes it."""

    path: Path
    owner: str


STAGE_OUTPUTS = tuple(
    Place(Path(path), f"the stage {path.split('/')[1]}" if "/" in path else "thaw")
    for path in (
        *("models/warmup_head", "models/unfreeze", "models/fold_bn"),
        *("reports/prepare", "reports/warmup_head", "reports/unfreeze", "reports/fold_bn"),
        "reports/evaluate",
        ".thaw",
    )
)
OUTPUTS = (
    Place(Path("data/prepared"), "the stage prepare"),
    *STAGE_OUTPUTS,
    Place(Path("mlruns"), "MLflow"),
    Place(Path(".dvc"), "DVC"),
    Place(Path("dvc.lock"), "DVC"),
    Place(Path("dvc.yaml"), "DVC"),
    Place(Path(".git"), "git"),
    Place(PARAMS_FILE, "`thaw search --apply`"),
)


class _Inputs(Section):
    data: Data
    backbone: Backbone


def refuse_overlaps(params: Params) -> None:
    """Refuse parameters that name as an input what the project writes or removes.

    Raises:
        ThawError: a line for each such key, with both paths.
    """
    stores = [
        *_local_store(params.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI", ""), "MLflow"),
        *_local_store(params.search.storage, "`thaw search`"),
    ]
    places = [*OUTPUTS, *_linked(STAGE_OUTPUTS), *stores]
    found = (_overlap(key, path, places) for key, path in _read(params))
    if lines := [f"{PARAMS_FILE}: {line}" for line in found if line]:
        raise ThawError("\n".join(lines))


def refuse_output(out: Path, option: str, inputs: Iterable[tuple[str, Path]] = ()) -> None:
    """Refuse to write a verb's output where the project keeps or reads its own files.

    ``inputs`` are further files and folders, with their names, that the output may not lie in.

    Raises:
        ThawError: names both paths.
    """
    for place in OUTPUTS:
        relation = relation_of(out, place.path)
        if relation in {"is", "lies in"}:
            raise ThawError(
                f"{option}: {shown(out)} {relation} {shown(place.path)}, which {place.owner} "
                f"writes or removes: give another {option}"
            )
    for name, path in (*_read_here(), *inputs):
        relation = relation_of(out, path)
        if relation in {"is", "lies in"}:
            raise ThawError(
                f"{option}: {shown(out)} {relation} {shown(path)}, which is read as {name}: "
                f"give another {option}"
            )


def refuse_to_replace(out: Path, option: str, marks: Iterable[bytes], what: str) -> None:
    """Refuse to replace a file that is not ``what``; such a file holds all of ``marks``.

    Raises:
        ThawError: names the file.
    """
    try:
        content = out.read_bytes() if out.exists() else None
    except OSError as error:
        raise ThawError(f"{option}: {out} cannot be replaced: {error.strerror}") from None
    if content and not all(mark in content for mark in marks):
        raise ThawError(
            f"{option}: {out} is there, but is not {what}: give another {option}, or delete it"
        )


def relation_of(first: Path, second: Path) -> Relation | None:
    """Say how ``first`` lies to ``second``; None where they have nothing in common.

    Links are followed. Folders are compared as the file system knows them, too: the same folder
    may have two names, by a mount, or where upper and lower case are the same.
    """
    one, other = (Path(os.path.realpath(path)) for path in (first, second))
    if _is_same(one, other):
        return "is"
    if any(_is_same(parent, other) for parent in one.parents):
        return "lies in"
    if any(_is_same(one, parent) for parent in other.parents):
        return "contains"
    return None


def shown(path: Path) -> str:
    """Return the path as it was given, and where it leads if that is elsewhere."""
    real = os.path.realpath(path)
    folder = os.path.realpath(Path.cwd())
    plain = real in {os.path.normpath(path), os.path.normpath(os.path.join(folder, path))}  # noqa: PTH118
    return str(path) if plain else f"{path} ({real})"


def _is_same(one: Path, other: Path) -> bool:
    if one == other:
        return True
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def _overlap(key: str, path: Path, places: Iterable[Place]) -> str | None:
    for place in places:
        if relation := relation_of(path, place.path):
            return (
                f"{key}: {shown(path)} {relation} {shown(place.path)}, which {place.owner} writes "
                f"or removes: give your files a folder of their own and set {key}"
            )
    return None


def _read(params: Params | _Inputs) -> list[tuple[str, Path]]:
    """Return what is read, by its key. The name of pretrained weights is a path to nothing."""
    return [
        ("data.path", Path(params.data.path)),
        ("data.root", Path(params.data.root)),
        ("backbone.weights", Path(params.backbone.weights)),
    ]


def _read_here() -> list[tuple[str, Path]]:
    """The same of this folder's ``params.yaml``; nothing where there is none that can be read."""
    try:
        return _read(load(_Inputs))
    except ThawError:
        return []


def _linked(places: Iterable[Place]) -> Iterator[Place]:
    """Where the links inside ``places`` lead: a stage writes through them."""
    for place in places:
        for parent, folders, files in os.walk(place.path):
            for path in (Path(parent, name) for name in (*folders, *files)):
                if path.is_symlink():
                    yield Place(path, place.owner)


def _local_store(uri: str, owner: str) -> list[Place]:
    """The files of a store on this disk; nothing where it is a server."""
    if uri.startswith(_SQLITE):
        database = Path(uri.removeprefix(_SQLITE))
        return [Place(database, owner), Place(database.parent / "artifacts", owner)]
    if uri.startswith("file:"):
        return [Place(Path(unquote(urlsplit(uri).path)), owner)]
    return [Place(Path(uri), owner)] if uri and "://" not in uri else []

"""Refuse inputs that overlap with files that the project writes or removes.

A stage removes or overwrites its outputs. An image, CSV file or weights file inside of an output
would be lost. A data folder that contains an output would be read together with it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from thaw.config.data_sections import Data
from thaw.config.loading import load
from thaw.config.model_sections import Backbone
from thaw.config.section import Section
from thaw.errors import ThawError
from thaw.system.dvc_cache import is_link_into_cache, written_folders
from thaw.system.mounts import mounts_below
from thaw.system.path_relations import described, folders_around, relation_of
from thaw.system.project_paths import (
    DVC_LOCK,
    MODELS,
    PARAMS_FILE,
    PIPELINE,
    PREPARED,
    REPORTS,
    SCRATCH,
    STORE,
)
from thaw.system.sqlite_addresses import is_sqlite, path_of
from thaw.system.stage_names import STAGES, TRAINING_STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from thaw.config.params import Params

_PROJECT_FILES = (PARAMS_FILE, PIPELINE)


@dataclass(frozen=True)
class Output:
    """A file or folder, and the program that writes or removes it."""

    path: Path
    owner: str


STAGE_OUTPUTS = (
    *(Output(MODELS / stage, f"the stage {stage}") for stage in TRAINING_STAGES),
    *(Output(REPORTS / stage, f"the stage {stage}") for stage in STAGES),
    *(Output(REPORTS / name, "the stage evaluate") for name in ("index.html", "MODEL_CARD.md")),
    Output(SCRATCH, "thaw"),
)
OUTPUTS = (
    Output(PREPARED, "the stage prepare"),
    *STAGE_OUTPUTS,
    Output(STORE, "MLflow"),
    Output(Path(".dvc"), "DVC"),
    Output(DVC_LOCK, "DVC"),
    Output(PIPELINE, "DVC"),
    Output(Path(".git"), "git"),
    Output(PARAMS_FILE, "`thaw search --apply`"),
)


class _Inputs(Section):
    """The sections that name inputs."""

    data: Data
    backbone: Backbone


def refuse_overlaps(params: Params) -> None:
    """Raise if a parameter names an input that overlaps with an output of the project.

    Raises:
        ThawError: a line for each such parameter, with both paths.
    """
    keys: dict[Path, list[str]] = {}
    for key, path in _inputs(params):
        keys.setdefault(path, []).append(key)
    outputs = outputs_of(params)
    lines = [
        f"{PARAMS_FILE}: {names[0]}: {overlap}: move your files to a folder of their "
        f"own and set {' and '.join(names)}"
        for path, names in keys.items()
        if (overlap := overlap_with(path, outputs))
    ]
    if lines:
        raise ThawError("\n".join(lines))


def overlap_of(path: Path, params: Params) -> str | None:
    """Return how an input overlaps with an output of the project; see :func:`overlap_with`."""
    return overlap_with(path, outputs_of(params))


def outputs_of(params: Params) -> list[Output]:
    """Return all outputs of the project, with links inside of them and stores on this disk."""
    return [
        *OUTPUTS,
        *_links_inside(STAGE_OUTPUTS),
        *_mounts_inside(OUTPUTS),
        *(Output(folder, "DVC") for folder in written_folders()),
        *_local_store(params.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI", ""), "MLflow"),
        *_local_store(params.search.storage, "`thaw search`"),
        *_local_store(params.search.artifacts, "`thaw search`"),
    ]


def overlap_with(path: Path, outputs: Iterable[Output]) -> str | None:
    """Return how an input overlaps with one of ``outputs``; None if it does not.

    The text names both paths and the program that writes the output.
    """
    # `dvc add` may have replaced a file by a link into its cache: the place of the link counts.
    is_cached = is_link_into_cache(path)
    mounted = [] if is_cached else mounts_below(Path(os.path.realpath(path)))
    for output in outputs:
        for part in (path, *mounted):
            relation = relation_of(part.parent if is_cached else part, output.path)
            if relation and not (is_cached and relation == "contains"):
                return (
                    f"{described(part)} {relation} {described(output.path)}, which {output.owner} "
                    "writes or removes"
                )
    return None


def refuse_output(out: Path, option: str, inputs: Iterable[tuple[str, Path]] = ()) -> None:
    """Raise if the output of a verb is inside of an output or input of a project.

    Such projects are the working directory and each folder around ``out`` that is a project.
    ``inputs`` are further (name, path) that the output must not be inside of.

    Raises:
        ThawError: names both paths; or ``out`` is a link that leads nowhere.
    """
    if out.is_symlink() and not out.exists():
        raise ThawError(
            f"{option}: {out} is a link to {out.readlink()}, which does not exist: give the path "
            "of the file itself"
        )
    used = [(path, f"is read as {name}") for name, path in inputs]
    for project in _projects_around(out):
        used += [(project / o.path, f"{o.owner} writes or removes") for o in OUTPUTS]
        used += [(project / path, f"is read as {name}") for name, path in _inputs_of(project)]
    for path, use in used:
        relation = relation_of(out, path)
        if relation in {"is", "is inside"}:
            raise ThawError(
                f"{option}: {described(out)} {relation} {described(path)}, which {use}: give "
                f"another {option}"
            )


def refuse_no_file(out: Path, option: str) -> None:
    """Raise if the output file of a verb exists and is no file: a folder, a device, a pipe.

    ``-`` is refused, too: for many programs it is the standard output.

    Raises:
        ThawError: names the path; or the system refuses the path, for example as too long.
    """
    if out == Path("-"):
        raise ThawError(f"{option}: - is no file: thaw writes no file to the standard output")
    try:
        mode = out.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise ThawError(f"{option}: {out}: {error.strerror}: give another path") from None
    if stat.S_ISDIR(mode):
        raise ThawError(f"{option}: {out} is a folder: give the path of a file")
    if not stat.S_ISREG(mode):  # /dev/full never ends, a pipe waits
        raise ThawError(f"{option}: {out} is a device or a pipe: give the path of a file")


def refuse_to_replace(out: Path, option: str, marks: Iterable[bytes], what: str) -> None:
    """Raise if ``out`` exists and does not contain all of ``marks``, as files of kind ``what`` do.

    Raises:
        ThawError: names the file.
    """
    refuse_no_file(out, option)
    try:
        content = out.read_bytes() if out.exists() else None
    except OSError as error:
        raise ThawError(f"{option}: {out}: {error.strerror}: give another {option}") from None
    if content and not all(mark in content for mark in marks):
        raise ThawError(
            f"{option}: {out} exists and is not {what}: give another {option}, or delete it"
        )


def _inputs(params: Params | _Inputs) -> list[tuple[str, Path]]:
    """Return (key, path) of the inputs. A name of pretrained weights is a path without a file."""
    return [
        ("data.path", Path(params.data.path)),
        ("data.root", Path(params.data.root)),
        ("backbone.weights", Path(params.backbone.weights)),
    ]


def _projects_around(out: Path) -> Iterator[Path]:
    """Yield the working directory and every other project that contains ``out``, by any link."""
    yield Path()
    for folder in folders_around(out):
        if all((folder / name).is_file() for name in _PROJECT_FILES) and folder != Path.cwd():
            yield folder


def _inputs_of(project: Path) -> list[tuple[str, Path]]:
    """Return the inputs of the ``params.yaml`` of a project; nothing if it is not valid."""
    try:
        return _inputs(load(_Inputs, project / PARAMS_FILE))
    except ThawError:
        return []


def _links_inside(outputs: Iterable[Output]) -> Iterator[Output]:
    """Yield the links inside of ``outputs``, because a stage or DVC replaces them."""
    for output in outputs:
        for parent, folders, files in os.walk(output.path):
            for path in (Path(parent, name) for name in (*folders, *files)):
                if path.is_symlink():
                    yield Output(path, output.owner)


def _mounts_inside(outputs: Iterable[Output]) -> Iterator[Output]:
    """Yield the folders inside of ``outputs`` on which something is mounted."""
    for output in outputs:
        real = Path(os.path.realpath(output.path))
        for path in mounts_below(real):
            yield Output(output.path / path.relative_to(real), output.owner)


def _local_store(uri: str, owner: str) -> list[Output]:
    """Return the files of a store on this disk; nothing if it is on a server."""
    if is_sqlite(uri):
        database = path_of(uri)
        return [Output(database, owner), Output(database.parent / "artifacts", owner)]
    if uri.startswith("file:"):
        return [Output(Path(unquote(urlsplit(uri).path)), owner)]
    return [Output(Path(uri), owner)] if uri and "://" not in uri else []

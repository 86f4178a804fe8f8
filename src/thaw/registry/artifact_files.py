"""Download the artifact of a registered version, if it has the files of a model of thaw only.

The files are listed before anything is downloaded, and MLflow never loads the artifact, because
that runs the loader that the artifact names. This module does not import torch.
"""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from ruamel.yaml import YAML

from thaw.errors import ThawError
from thaw.model.sealed_files import LARGEST_SPEC, SPEC
from thaw.tracking.outages import STORE_ERRORS, is_outage
from thaw.tracking.store_failures import reason_of

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.tracking import MlflowClient

LOADER = "thaw.registry.pyfunc"  # the only loader that an artifact may name
_MLMODEL = "MLmodel"
DATA = "data"  # the folder of MLflow's models of the kind "pyfunc" that has their files
# Codes of MLflow: this user may not read the files.
_REFUSED = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED"})
_LOCAL = ("/", "file:")  # other locations may contain passwords
_LARGEST_TEXT = 16 * 1024  # bytes; an MLmodel of thaw has about 1 KB
_LARGEST_EXAMPLE = 256 * 1024**2  # bytes; an image as base64
_NESTING = ("[", "{", "- ", "? ")  # what begins a level of YAML within a line
_MOST_NESTING = 500
# Name -> largest size in bytes, beside the folder `data`.
_ROOT_FILES = {
    _MLMODEL: _LARGEST_TEXT,
    "conda.yaml": _LARGEST_TEXT,
    "python_env.yaml": _LARGEST_TEXT,
    "requirements.txt": _LARGEST_TEXT,
    "registered_model_meta": _LARGEST_TEXT,
    "input_example.json": _LARGEST_EXAMPLE,
    "serving_input_example.json": _LARGEST_EXAMPLE,
}


class ArtifactStoreError(ThawError):
    """The store of an artifact does not answer, or refuses: nothing is known of the files."""


def download_artifact(client: MlflowClient, name: str, number: int, folder: Path) -> Path:
    """Copy the artifact of a version into ``folder``; return the model directory in it.

    Raises:
        ArtifactStoreError: the store of the files does not answer, or refuses.
        ThawError: the files cannot be fetched, or are not those of a model of thaw.
    """
    uri = f"models:/{name}/{number}"
    try:
        location = client.get_model_version_download_uri(name, str(number))
        repository = get_artifact_repository(location)
        inner = _check_files(uri, repository)
        folder.mkdir(parents=True, exist_ok=True)
        copied = Path(repository.download_artifacts("", str(folder)))  # type: ignore[no-untyped-call]
    except ThawError:
        raise
    except Exception as error:  # libraries of object stores, such as boto3, raise their own
        kind = ThawError if _is_about_the_files(error) else ArtifactStoreError
        raise kind(f"{uri} could not be fetched: {reason_of(error)}") from None
    _refuse_code(uri, copied, copied / inner)
    return copied / inner


def file_of_run(client: MlflowClient, run_id: str, path: str) -> bytes | None:
    """Return the content of the file ``path`` of a run; None if the run has no such file.

    Raises:
        ArtifactStoreError: the store of the files does not answer, or refuses.
    """
    folder, _, _ = path.rpartition("/")
    try:
        listed = {entry.path for entry in client.list_artifacts(run_id, folder or None)}
        if path not in listed:
            return None
        with tempfile.TemporaryDirectory(prefix="thaw-") as scratch:
            return Path(client.download_artifacts(run_id, path, scratch)).read_bytes()
    except Exception as error:  # libraries of object stores, such as boto3, raise their own
        if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":  # the run is deleted
            return None
        raise ArtifactStoreError(
            f"{path} of the run {run_id} could not be fetched: {reason_of(error)}"
        ) from None


def _is_about_the_files(error: Exception) -> bool:
    """Return whether ``error`` says that files are missing or wrong, and not that it is unknown."""
    if isinstance(error, PermissionError):
        return False
    if isinstance(error, MlflowException) and error.error_code in _REFUSED:
        return False
    is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError))
    return isinstance(error, STORE_ERRORS) and (is_missing or not is_outage(error, ""))


def _check_files(uri: str, repository: ArtifactRepository) -> str:
    """Return the path of the model directory; raise if there are other files."""
    root = _listed(repository, "")
    if not root:
        place = repository.artifact_uri
        where = f" at {place}" if place.startswith(_LOCAL) else ""
        raise ThawError(
            f"{uri}: its files are not{where} where they were registered: if the project or the "
            "store was moved, run `thaw repair` in the project"
        )
    if _MLMODEL not in root:
        raise ThawError(f"{uri} is not a model of thaw: it has no {_MLMODEL}")
    others = [
        path
        for path, size in root.items()
        if path not in {*_ROOT_FILES, DATA} or (path == DATA) != (size is None)
    ]
    folders = _listed(repository, DATA) if not others else {}
    others += [path for path, size in folders.items() if size is not None]
    if others:
        raise ThawError(f"{uri} holds what does not belong to a model: {_shortened(others)}")
    if len(folders) > 1:
        raise ThawError(f"{uri} holds what does not belong to a model: {_shortened([*folders])}")
    if not folders:
        raise ThawError(f"{uri} is not a model of thaw: it has no data")
    (inner,) = folders
    files = _listed(repository, inner)
    others = [
        path
        for path, size in files.items()
        if size is None or Path(path).suffix not in {".json", ".safetensors"}
    ]
    if others:
        raise ThawError(f"{uri} holds what does not belong to a model: {_shortened(others)}")
    if f"{inner}/{SPEC}" not in files:
        raise ThawError(f"{uri} is not a model of thaw: it has no {SPEC}")
    limits = {**_ROOT_FILES, f"{inner}/{SPEC}": LARGEST_SPEC}
    for path, size in {**root, **files}.items():
        if (size or 0) > limits.get(path, float("inf")):
            raise ThawError(f"{uri} is not a model of thaw: its {path} has {size:,} bytes")
    return inner


def _listed(repository: ArtifactRepository, folder: str) -> dict[str, int | None]:
    """Return the size of each file in ``folder``, None for a folder, by path.

    Raises:
        ThawError: an entry of a local store is a link, a pipe or a device.
    """
    found = {
        one.path: None if one.is_dir else one.file_size for one in repository.list_artifacts(folder)
    }
    local = getattr(repository, "repo", repository)
    if isinstance(local, LocalArtifactRepository):
        for path in found:
            mode = Path(local.artifact_dir, path).lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise ThawError(
                    f"{local.artifact_dir}: {path} is a link or a special file, which does not "
                    "belong to a model"
                )
    return found


def _refuse_code(uri: str, copied: Path, model: Path) -> None:
    """Raise if MLflow would run anything but thaw's loader."""
    try:
        loader, others, data = _loaders((copied / _MLMODEL).read_text("utf-8"))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ThawError(f"{uri} is not a model of thaw: its {_MLMODEL}: {reason}") from None
    if loader != LOADER or others:
        named = ", ".join(repr(one)[:80] for one in [loader, *others])
        raise ThawError(
            f"{uri} is not a model of thaw: its {_MLMODEL} would run {named}; nothing was run"
        )
    if copied / data != model:
        raise ThawError(f"{uri} holds what does not belong to a model: {data[:80]!r}")


def _loaders(text: str) -> tuple[Any, list[Any], str]:
    """Return the loader that an MLmodel names, everything else that it would run, and its data."""
    if sum(map(text.count, _NESTING)) > _MOST_NESTING:  # the parser needs seconds for it
        raise ValueError("it is nested too deeply")
    flavors = YAML(typ="safe", pure=True).load(text)["flavors"]
    named = flavors["python_function"]
    others = [one for one in (*flavors, named.get("code")) if one not in {"python_function", None}]
    data = named["data"]
    if not isinstance(data, str):
        raise TypeError("its data is not a path")
    return named["loader_module"], others, data


def _shortened(paths: list[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(repr(path)[:80] for path in sorted(paths)[:3]) + more

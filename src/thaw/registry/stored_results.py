"""The reports of an earlier result: of a version, a run, a folder or a git revision."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.evaluation.page.comparison import StoredResult
from thaw.registry.artifact_files import file_of_run
from thaw.registry.fetch import resolve
from thaw.registry.names import PREFIX
from thaw.system.project_paths import PARAMS_FILE, REPORTS
from thaw.system.stage_names import TRAINING_STAGES
from thaw.tracking.store import command_errors, connect_read_only

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw.config.result_sections import Tracking

_VERSION = re.compile(r"[0-9]{1,6}")  # git shortens commits to 7 characters or more
_RUN = re.compile(r"[0-9a-f]{32}")
_PREDICTIONS = f"{REPORTS}/evaluate/predictions.csv"
_HISTORIES = [f"{REPORTS}/{stage}/history.csv" for stage in TRAINING_STAGES]
_PARAMS = str(PARAMS_FILE)
_FORMS = (
    "give a version (3 or models:/NAME/3), a run id, the folder of a project, or a git revision"
)


def read_result(name: str, tracking: Tracking) -> StoredResult:
    """Return the result that ``name`` names.

    ``name`` is a number of up to 6 digits (a version of the project's model),
    ``models:/NAME/VERSION``, ``models:/NAME@ALIAS``, the id of an MLflow run, a folder, or a git
    revision of the project.

    Raises:
        ThawError: nothing has this name, or it has no predictions.
    """
    if _VERSION.fullmatch(name):
        name = f"{PREFIX}{tracking.registered_model}/{name}"
    if name.startswith(PREFIX):
        return _of_version(name, tracking)
    if _RUN.fullmatch(name):
        return _of_run(name, name, tracking)
    if (folder := Path(name)).is_dir():
        # "." and ".." name no folder.
        shown = name if folder.name.strip(".") else folder.resolve().name
        return _collected(shown, lambda path: (folder / path).read_bytes())
    return _of_revision(name)


def _of_version(uri: str, tracking: Tracking) -> StoredResult:
    version = resolve(uri, tracking)
    with command_errors(tracking):
        client = connect_read_only(tracking)
        run_id = client.get_model_version(version.name, str(version.number)).run_id
    if not run_id:
        raise ThawError(
            f"{version.uri} has no run, so that its predictions are not known: {_FORMS}"
        )
    return _of_run(version.uri, run_id, tracking)


def _of_run(name: str, run_id: str, tracking: Tracking) -> StoredResult:
    with command_errors(tracking):
        client = connect_read_only(tracking)
        client.get_run(run_id)  # raises if there is none

    def read(path: str) -> bytes:
        logged = f"pipeline/{path}" if path == _PARAMS else path
        if (content := file_of_run(client, run_id, logged)) is None:
            raise FileNotFoundError(logged)
        return content

    return _collected(name, read)


def _of_revision(name: str) -> StoredResult:
    from dvc.api import DVCFileSystem

    try:
        files = DVCFileSystem(rev=name)
        commit = str(files.repo.get_rev())
    except Exception as error:  # DVC raises many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ThawError(f"there is no result {name!r} ({reason}): {_FORMS}") from None

    def read(path: str) -> bytes:
        try:
            content: bytes = files.read_bytes(path)
        except Exception as error:  # it is not in the cache, or not in this revision
            raise FileNotFoundError(str(error)) from error
        return content

    # "HEAD" names another commit tomorrow.
    return _collected(name if commit.startswith(name) else f"{name} ({commit[:7]})", read)


def _collected(name: str, read: Callable[[str], bytes]) -> StoredResult:
    """Return the result from its files, of which only the predictions must exist.

    Raises:
        ThawError: there are no predictions.
    """
    found: dict[str, str] = {}
    for path in (_PREDICTIONS, _PARAMS, *_HISTORIES):
        try:
            found[path] = read(path).decode("utf-8")
        except (OSError, ValueError):
            continue
    if _PREDICTIONS not in found:
        raise ThawError(f"{name} has no {_PREDICTIONS}: {_FORMS}")
    histories = {
        stage: found[path]
        for stage, path in zip(TRAINING_STAGES, _HISTORIES, strict=True)
        if path in found
    }
    return StoredResult.parse(name, found[_PREDICTIONS], found.get(_PARAMS, ""), histories)

"""Keep the release on report pages up to date: in MLflow's runs, and in this project.

`reports/index.html` is an output of the stage evaluate, whose digest DVC knows: it is not changed.
:data:`CURRENT_PAGE` is a copy of this file that shows the release as the registry has it now. Git
ignores the copy, and it is no output of DVC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlflow.exceptions import MlflowException

from thaw.errors import ThawError
from thaw.evaluation.page.release_box import with_release
from thaw.evaluation.page.render import PAGE
from thaw.promotion.release_state import release_of
from thaw.registry.artifact_files import file_of_run
from thaw.registry.same_model import SAME_AS
from thaw.system.console import warn
from thaw.system.files import write_whole
from thaw.system.project_paths import REPORTS, SCRATCH
from thaw.system.sqlite_addresses import is_sqlite, path_of
from thaw.tracking.outages import STORE_ERRORS
from thaw.tracking.result_run import MAIN_ARTIFACT
from thaw.tracking.store import command_errors, connect_read_only, store_uri
from thaw.tracking.store_failures import reason_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from mlflow.tracking import MlflowClient

    from thaw.config.params import Params

CURRENT_PAGE = SCRATCH / MAIN_ARTIFACT


class CurrentRelease(NamedTuple):
    """The release of a version as the registry has it now, and the page that shows it."""

    release: dict[str, Any]
    page: Path | None


def update_run_pages(
    client: MlflowClient, name: str, versions: Iterable[int | None], trusted: Collection[str] = ()
) -> None:
    """Write the current release into the pages of the runs of ``versions``.

    These are the run that made a version, and those that made the same model again. A page that
    cannot be read or written stays as it is, with a warning: the decision is recorded.
    """
    for version in sorted({number for number in versions if number}):
        update_run_page(client, name, version, trusted=trusted)
        for run_id in _runs_of_same_model(client, name, version):
            update_run_page(client, name, version, run_id, trusted)


def _runs_of_same_model(client: MlflowClient, name: str, version: int) -> list[str]:
    """Return the runs, in the experiment of the version's run, that made its model again."""
    try:
        own = client.get_model_version(name, str(version)).run_id
        experiment = client.get_run(own).info.experiment_id if own else None
        same = f"tags.`{SAME_AS}` = 'models:/{name}/{version}'"
        found = client.search_runs([experiment], same) if experiment else []
    except (*STORE_ERRORS, MlflowException):  # that of the version's own page was said
        return []
    return [run.info.run_id for run in found]


def update_run_page(
    client: MlflowClient,
    name: str,
    version: int,
    run_id: str | None = None,
    trusted: Collection[str] = (),
) -> None:
    """Write the current release of ``version`` into the page of a run, by default of its own.

    Another run may have made the same model again. A page stays as it is where nothing was decided
    on the version, and, with a warning, if it cannot be read or written.
    """
    try:
        _write_release(client, name, version, run_id, trusted)
    except (*STORE_ERRORS, MlflowException, ThawError) as error:
        warn(
            f"the report page of {name} version {version} in MLflow does not show the last "
            f"decision on it, which is recorded: {reason_of(error)}. `thaw status` shows it"
        )


def _write_release(
    client: MlflowClient, name: str, version: int, run_id: str | None, trusted: Collection[str]
) -> None:
    run_id = run_id or client.get_model_version(name, str(version)).run_id
    stored = file_of_run(client, run_id, MAIN_ARTIFACT) if run_id else None
    release = release_of(client, name, version, trusted) if stored else None
    if not run_id or stored is None or release is None:
        return
    page = with_release(stored.decode("utf-8", "replace"), release)
    if page is not None:
        client.log_text(run_id, page, MAIN_ARTIFACT)


def current_release(params: Params, name: str, version: int) -> CurrentRelease | None:
    """Return the current release of the version of this project's result; write its page.

    None if nothing was decided on it since it was registered, or if there is no store, as in a
    clone: `reports/index.html` shows the state.

    Raises:
        ThawError: the registry cannot be read, or has no such version.
    """
    uri = store_uri(params.tracking)
    if is_sqlite(uri) and not path_of(uri).exists():
        return None
    with command_errors(params.tracking):
        client = connect_read_only(params.tracking)
        release = release_of(client, name, version, params.promote.public_keys)
    if release is None:
        return None
    stored = REPORTS / PAGE
    page = with_release(stored.read_text("utf-8", "replace"), release) if stored.is_file() else None
    if page is None:
        return CurrentRelease(release, None)
    try:
        write_whole(CURRENT_PAGE, page.encode("utf-8", "backslashreplace"))
    except ThawError as error:
        warn(f"the page with the current release is not written: {error}")
        return CurrentRelease(release, None)
    return CurrentRelease(release, CURRENT_PAGE)

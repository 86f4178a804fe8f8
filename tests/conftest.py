"""Options and fixtures of all tests: markers, the device, a clean environment for each module."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import signal
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from filelock import FileLock
from hypothesis import settings

from tests.file_costs import cost
from tests.project import Project
from tests.tmpfs import NO_RIGHT
from thaw.system import launching
from thaw.system.deferred_compiler import compiler_deferred
from thaw.system.garbage_collection import collect_as_usual, collect_seldom
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

collect_seldom()  # until all tests are collected

# Tests compute on tiny tensors: more threads cost time, most of all beside other test processes.
torch.set_num_threads(1)

# Test modules import both: without the compiler, as thaw does, every test process saves 2 s.
with compiler_deferred():
    import timm  # noqa: F401
    import torchvision.transforms.v2  # noqa: F401

# Tests start many processes: without bytecode, each of them compiles the package again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Property tests check a few fixed examples; `make soak` gives the profile with many random ones.
settings.register_profile("suite", max_examples=25, derandomize=True, deadline=None, database=None)
settings.register_profile("soak", max_examples=3000, deadline=None, database=None, print_blob=True)
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Hide the GPUs, except from `pytest -m gpu`.

    Tests compute on the CPU on every machine, so that their numbers do not depend on the device.
    Tests with the marker ``gpu`` choose the GPU.
    """
    if not re.search(r"(?<!not )\bgpu\b", config.option.markexpr):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        # Forks of this process train. torch refuses that if autograd starts after fake tensors were
        # used (torch.export does): it counts devices then that do not exist.
        torch.autograd.backward(torch.ones(1, requires_grad=True).sum())
    # Under nohup, or in the background of a shell, signals are ignored, and so by all children.
    for number, action in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, action)
    # Read when CUDA starts; without it, matrix products have no deterministic kernel.
    name = "CUBLAS_WORKSPACE_CONFIG"
    os.environ.setdefault(name, launching.ENVIRONMENT[name])


def pytest_xdist_auto_num_workers() -> int:
    """Return the processes of `-n auto`: one more than cores, because tests also wait."""
    return cores() + 1


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave `tests/services` out unless it is asked for: its packages are an extra of their own."""
    is_services = collection_path == Path(__file__).parent / "services"
    return True if is_services and "services" not in config.option.markexpr else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Let a skipped test of `services` or `browser` fail where NO_SKIPS is set, as `make` does.

    `make` installs the programs that the tests need, but cannot give them a right of the kernel.
    """
    report = yield
    of_target = any(item.get_closest_marker(name) for name in ("services", "browser"))
    is_avoidable = report.skipped and NO_RIGHT not in str(report.longrepr)
    if is_avoidable and of_target and os.environ.get("NO_SKIPS"):
        report.outcome, report.longrepr = "failed", f"{report.longrepr[2]} (NO_SKIPS is set)"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make the cases of exhaustive products only for `soak`: there are more than all others."""
    if "soak" not in metafunc.config.option.markexpr:
        marks = metafunc.definition.own_markers
        marks[:] = [_without_soak(mark) if mark.name == "parametrize" else mark for mark in marks]


def _without_soak(mark: pytest.Mark) -> pytest.Mark:
    """Return a mark ``parametrize`` without the cases that are marked ``soak``."""
    names, values = mark.args
    values = list(values)
    kept = [
        number
        for number, value in enumerate(values)
        if "soak" not in {each.name for each in getattr(value, "marks", ())}
    ]
    others = dict(mark.kwargs)
    if isinstance(others.get("ids"), list):
        others["ids"] = [others["ids"][number] for number in kept]
    return pytest.mark.parametrize(names, [values[number] for number in kept], **others).mark


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what has a target of its own; skip `gpu` without a GPU; put long files first."""
    left_out = {item for item in items if _has_another_target(item, config.option.markexpr)}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a GPU; run `pytest -m gpu` on one"))
    # Several processes (`-n`) take one file after the other: the longest must not come last.
    items.sort(key=lambda item: cost(item.path), reverse=True)


def _has_another_target(item: pytest.Item, markexpr: str) -> bool:
    """Tell whether a test belongs to a target of make that ``markexpr`` (`-m`) does not name."""
    targets = ["soak", "services", "commands", "browser"]
    if not item.get_closest_marker("soak"):  # the soak includes the exhaustive pipelines
        targets.append("pipelines")
    return any(item.get_closest_marker(name) and name not in markexpr for name in targets)


def pytest_collection_finish() -> None:
    """Exclude all imported objects from garbage collection.

    Training calls ``gc.collect()``. It takes more than a second where several hundred thousand
    objects of imported libraries are examined.
    """
    gc.collect()
    collect_as_usual()


# Taken before any fixture: one of the session writes the address of its store before those of its
# first module run, and would leave it to all later modules.
_MLFLOW_AT_START = {key: value for key, value in os.environ.items() if key.startswith("MLFLOW_")}


@pytest.fixture(autouse=True, scope="module")
def _clean_process() -> Iterator[None]:
    """Restore the working directory and what MLflow writes into the environment."""
    folder = Path.cwd()
    yield
    os.chdir(folder)
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(None)
    for key in [key for key in os.environ if key.startswith("MLFLOW_")]:
        del os.environ[key]
    os.environ.update(_MLFLOW_AT_START)
    gc.collect()
    gc.freeze()  # also what this module has imported


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment of the stages, without which a verb starts its process again."""
    for name, value in launching.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all processes of this test session (`-n`) share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def short_pipeline(shared_folder: Path) -> Project:
    """A project with the parameters of ``Project.small``, after `dvc repro`, to read only."""
    return _made_once(shared_folder / "short-pipeline", Project.small, "dvc", "repro")


@pytest.fixture(scope="session")
def prepared_project(shared_folder: Path) -> Project:
    """A project of 36 images in which DVC has run the stage prepare, to read and to copy only."""
    from tests import tiny

    return _made_once(shared_folder / "prepared-project", tiny.set_up, "dvc", "repro", "prepare")


def _made_once(folder: Path, set_up: Callable[[Project], None], *command: str) -> Project:
    """Return the project in ``folder``, which the first of all processes sets up."""
    done = folder.with_name(f"{folder.name}-done")
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        project = Project(folder)
        if not done.exists():
            set_up(project)
            project.run(*command)
            done.touch()
    return project


@pytest.fixture(scope="session")
def empty_store(shared_folder: Path) -> Path:
    """Return an MLflow database without thaw's experiment; to create one takes 2 s, so copy it."""
    from mlflow.tracking import MlflowClient

    folder = shared_folder / "empty-store"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "mlflow.db").exists():
            MlflowClient(f"sqlite:///{folder}/new.db").search_experiments(max_results=1)
            (folder / "new.db").rename(folder / "mlflow.db")
    return folder / "mlflow.db"


@pytest.fixture(autouse=True, scope="session")
def _unsynced_files() -> Iterator[None]:
    """Let files not wait for the disk: only a machine that loses power would notice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def _unsynced_databases() -> Iterator[None]:
    """Let SQLite not wait for the disk, as for files."""
    from sqlalchemy import Engine, event

    def configure(connection: object, _: object) -> None:
        # MLflow tries again for minutes where this fails, as it does for a file of another kind.
        if isinstance(connection, sqlite3.Connection):
            with contextlib.suppress(sqlite3.DatabaseError):
                connection.execute("PRAGMA synchronous = OFF").close()

    event.listen(Engine, "connect", configure)
    yield
    event.remove(Engine, "connect", configure)


@pytest.fixture(autouse=True, scope="session")
def _copied_stores(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let new local stores be copies of ``empty_store``; test_store.py creates them for real."""

    def copy(path: Path) -> None:
        if not path.exists():
            shutil.copy(request.getfixturevalue("empty_store"), path)

    with pytest.MonkeyPatch.context() as patch:
        if (store := sys.modules.get("thaw.tracking.store")) is not None:
            patch.setattr(store, "_create_database", copy)
        yield

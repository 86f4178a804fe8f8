"""Run or continue a study, and find it again, for `thaw search`."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from optuna.exceptions import StorageInternalError
from rich.console import Console, Group
from rich.live import Live

from thaw.config import other_backbones
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.context import open_context
from thaw.data.prepared import Prepared
from thaw.registry.starting_model import parent_of, starting_model
from thaw.search import confirmation, search_space, storage, tables
from thaw.search.first_trials import enqueue_first_trials
from thaw.search.opened_study import OpenedStudy
from thaw.search.outages import repeated_after_outage, wait_until_it_answers
from thaw.search.progress import StudyProgress, progress_of
from thaw.search.study import find_study, open_study
from thaw.search.study_definition import StudyDefinition
from thaw.search.study_log import StudyLog
from thaw.search.trial_queue import latest_attempts
from thaw.search.worker_pool import WorkerPool
from thaw.system.console import say
from thaw.system.devices import AUTO, choose_device, gpu_count, visible_name
from thaw.system.locks import only_process
from thaw.system.process_group import process_group
from thaw.system.project_paths import SEARCH

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch
    from optuna.storages import RDBStorage
    from rich.console import RenderableType

_CONFIRMING = "confirming the best on new seeds"
_POLL_INTERVAL = 1.0  # seconds between two looks at the study
_console = Console()


@dataclass(frozen=True)
class Workers:
    """The processes that run trials.

    Attributes:
        count: their number; None starts ``per_device`` of them on each GPU, or one on a CPU.
        device: ``auto`` and ``cuda`` are all GPUs, ``cuda:N`` is one of them; ``cpu`` is none.
        per_device: workers that share a GPU. It is faster where the steps of a trial are short,
            and takes as many times the memory.
    """

    count: int | None = None
    device: str = AUTO
    per_device: int = 1

    def devices(self) -> tuple[str, ...]:
        """Return the names of the GPUs that the workers may use, none if they use the CPU.

        Raises:
            ThawError: there is no such device.
        """
        chosen = choose_device(self.device)
        if chosen.type == "cpu":
            return ()
        is_one = ":" in self.device
        numbers = [chosen.index] if is_one else range(gpu_count())
        return tuple(visible_name(number) for number in numbers)

    def number(self, devices: int, processes: int) -> int:
        """Return the number of workers of ``processes`` each on ``devices`` GPUs."""
        if self.count is not None:
            return self.count
        return max(1, devices // processes) * (self.per_device if devices else 1)


def run(prepared: Path, trials: int, workers: Workers, name: str) -> OpenedStudy:
    """Run trials until the study has ``trials`` of them, and confirm the best.

    Raises:
        ThawError: the space, the storage or the data cannot be used, or a worker failed.
    """
    params = load(Params)
    device, devices = choose_device(workers.device), workers.devices()
    definition = _checked_definition(params, prepared, device)
    connected = storage.connect(params.search.storage)
    with storage.explain_failures(params.search.storage):
        study = open_study(definition, connected, name)
        folder = SEARCH / study.study_name.replace("/", "_")
        with only_process(folder / "search.lock", f"the search {study.study_name}"):
            enqueue_first_trials(study, connected, definition, prepared, trials, device)
            log = StudyLog(study, definition, folder / "plots")
            arguments = [
                "--study", study.study_name, "--trials", str(trials), "--prepared", str(prepared)
            ]  # fmt: skip
            launch, wait = params.launch.of_worker(), partial(wait_until_it_answers, connected)
            count = workers.number(len(devices), process_group(launch).processes)
            pool = WorkerPool(count, launch, folder, arguments, devices, wait)
            opened = OpenedStudy(study, definition, connected)
            lines = _ConfirmationLines(partial(_confirming, opened, trials, count))
            display = _Display(log, lines, partial(_view, opened, trials, count))
            status = _run_workers(pool, opened, display)
    return replace(opened, is_interrupted=status == "KILLED")


def find(prepared: Path, name: str) -> OpenedStudy:
    """Return the study ``name`` in its present state, running or not.

    Raises:
        ThawError: there is no such study, or the storage fails.
    """
    params = load(Params)
    definition = _definition(params, prepared)
    connected = storage.connect_to_read(params.search.storage)
    with storage.explain_failures(params.search.storage):
        return OpenedStudy(find_study(definition, connected, name), definition, connected)


def _definition(params: Params, prepared: Path) -> StudyDefinition:
    digest = Prepared(prepared).manifest.digest
    return StudyDefinition.from_params(params, digest, parent_of(params))


def _checked_definition(params: Params, prepared: Path, device: torch.device) -> StudyDefinition:
    """Return the definition of the study, checked against each of its backbones."""
    definition = _definition(params, prepared)
    blocks = {}
    for name in other_backbones.searched_names(params):
        tried = other_backbones.trial_params(params, {other_backbones.NAME_KEY: name})
        context = open_context(tried, prepared, single_process=True, device=device)
        classifier, _ = starting_model(context, all_blocks=True)
        blocks[name] = len(classifier.blocks)
    search_space.check(definition.params, definition.dimensions, blocks)
    return definition


@dataclass(frozen=True)
class _Display:
    """Views of a search: its ``log``, ``lines`` without a terminal, and the ``view`` in one."""

    log: StudyLog
    lines: _ConfirmationLines
    view: Callable[[], RenderableType]


def _run_workers(pool: WorkerPool, opened: OpenedStudy, display: _Display) -> str:
    """Run the workers to their end and log it; return the status of the MLflow run.

    Raises:
        StorageInternalError: the storage does not answer at the end.
    """
    status, log = "FAILED", display.log
    try:
        _watch(pool, partial(_look, opened.storage, display))
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        say("interrupted: this is the study so far; the same command continues the search")
    finally:
        try:
            log.finish(
                status, confirmation.candidates(opened.study, opened.definition, opened.storage)
            )
        except StorageInternalError:
            log.fail()
            raise
    return status


def _watch(pool: WorkerPool, look: Callable[[Live | None], None]) -> None:
    """Show a live table in a terminal, otherwise print a line per trial, until all is done."""
    with contextlib.ExitStack() as stack:
        view = Live(console=_console, auto_refresh=False, transient=True)
        live = stack.enter_context(view) if _console.is_terminal else None
        stack.enter_context(pool.running())
        while pool.is_running():
            look(live)
            time.sleep(_POLL_INTERVAL)
    look(None)


def _look(connected: RDBStorage, display: _Display, live: Live | None) -> None:
    """Log and show the trials that have finished; wait for the database if it does not answer."""

    def look() -> None:
        display.log.update(print_each=not _console.is_terminal)
        if live is not None:
            live.update(display.view(), refresh=True)
        elif not _console.is_terminal:
            display.lines.update()

    repeated_after_outage(connected, look)


def _view(opened: OpenedStudy, trials: int, workers: int) -> RenderableType:
    """Return the table of the best trials, and below it how far the study is."""
    searched = progress_of(latest_attempts(opened.study), trials, workers)
    lines = [searched.bar("searching")]
    if again := _confirming(opened, trials, workers):
        lines.append(again.bar(_CONFIRMING))
    return Group(tables.best_trials(opened.study, opened.definition), *lines)


def _confirming(opened: OpenedStudy, trials: int, workers: int) -> StudyProgress | None:
    """Return how far the confirmation is; None before it begins."""
    latest = latest_attempts(opened.study)
    searched = progress_of(latest, trials, workers)
    if searched.done < searched.total:  # finalists may change
        return None
    again = confirmation.trainings(opened.study, opened.definition, opened.storage)
    return None if again is None else progress_of(*again, workers, earlier=latest)


class _ConfirmationLines:
    """A line without a terminal whenever a training of the confirmation has ended."""

    def __init__(self, progress: Callable[[], StudyProgress | None]) -> None:
        self._progress = progress
        self._said = -1

    def update(self) -> None:
        """Print how far the confirmation is, if that has changed."""
        found = self._progress()
        if found is not None and found.done != self._said:
            self._said = found.done
            say(f"{_CONFIRMING}: {found.text}")

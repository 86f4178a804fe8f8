"""What `thaw search` does: run or continue a study, show it, write its winner's values."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from rich.console import Console
from rich.live import Live

from thaw.advice.recommendation import advise
from thaw.advice.tables import facts_of
from thaw.config.editing import write_values
from thaw.config.loading import PARAMS_FILE, load
from thaw.config.params import Params
from thaw.context import open_context
from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.registry.starting_model import parent_of, starting_model
from thaw.search import confirmation, search_space, storage, study, study_log, tables
from thaw.search.study_definition import Question
from thaw.search.worker_pool import Crew
from thaw.system.console import say
from thaw.system.files import only_process

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from thaw.search.study_log import Log

SCRATCH = Path(".thaw/search")
_FIRST = ("params.yaml", "advice")  # the names of the first trials
_LOOK = 1.0  # seconds between looks at the study
_console = Console()


def run(prepared: Path, trials: int, workers: int, name: str) -> None:
    """Run trials until the study has ``trials`` of them, confirm the best, and show it.

    Raises:
        ThawError: the space, the storage or the data cannot be used; a worker failed.
    """
    params = load(Params)
    question = _checked(params, prepared)
    connected = storage.connect(params.search.storage)
    with storage.answering(params.search.storage):
        main = study.open_study(question, connected, name)
        folder = SCRATCH / main.study_name.replace("/", "_")
        with only_process(folder / "search.lock", f"the search {main.study_name}"):
            _begin(main, connected, question, prepared, trials)
            logged = study_log.Log(params, main, question, folder / "plots")
            arguments = [
                "--study", main.study_name, "--trials", str(trials), "--prepared", str(prepared)
            ]  # fmt: skip
            crew = Crew(workers, params.launch, folder, arguments, _devices())
            was_interrupted = _work(crew, main, question, connected, logged)
        _print(main, question, connected)
    if was_interrupted:
        raise KeyboardInterrupt


def _work(
    crew: Crew, main: optuna.Study, question: Question, connected: RDBStorage, logged: Log
) -> bool:
    """Until the workers are done, or it is interrupted: whether it was. Logs the end."""
    status = "FAILED"
    try:
        _watch(crew, main, question, logged)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        say("interrupted: this is what there is; the same command continues the search")
    finally:
        try:
            logged.finish(status, confirmation.contenders(main, question, connected))
        except optuna.exceptions.StorageInternalError:
            logged.give_up()
            raise
    return status == "KILLED"


def show(prepared: Path, name: str) -> None:
    """Print the study as it stands, running or not."""
    params = load(Params)
    question = _question(params, prepared)
    connected = storage.connect(params.search.storage)
    _print(study.existing(question, connected, name), question, connected)


def apply(prepared: Path, name: str, number: int | None) -> None:
    """Write the winner's values, or those of trial ``number``, into ``params.yaml``.

    Raises:
        ThawError: there is no such study or complete trial, or with two objectives no number.
    """
    params = load(Params)
    question = _question(params, prepared)
    connected = storage.connect(params.search.storage)
    main = study.existing(question, connected, name)
    complete = {trial.number: trial for trial in study.ranked(main)}
    if number is None:
        if len(main.directions) > 1:
            raise ThawError("with two objectives the choice is yours: give --trial NUMBER")
        found = confirmation.contenders(main, question, connected)
        if not found:
            raise ThawError(f"the study {main.study_name} has no complete trial yet")
        is_sure = confirmation.is_confirmed(found, question)
        _console.print(
            tables.verdict(found, question.metrics[0], confirmed=is_sure), soft_wrap=True
        )
        number = found[0].trial.number
    if number not in complete:
        raise ThawError(f"the study {main.study_name} has no complete trial {number}")
    changed = write_values(study.values_of(complete[number], question.dimensions))
    said = ", ".join(changed) if changed else "nothing: they stood there already"
    _console.print(f"written into {PARAMS_FILE}: {said}", highlight=False, soft_wrap=True)


def _question(params: Params, prepared: Path) -> Question:
    """What ``params.yaml`` asks."""
    return Question.of(params, Prepared(prepared).manifest.digest, parent_of(params))


def _checked(params: Params, prepared: Path) -> Question:
    """What ``params.yaml`` asks, held against the backbone."""
    question = _question(params, prepared)
    context = open_context(params, prepared, single_process=True)
    classifier, _ = starting_model(context, all_blocks=True)
    search_space.check(params, question.dimensions, len(classifier.blocks))
    return question


def _begin(
    main: optuna.Study, connected: RDBStorage, question: Question, prepared: Path, trials: int
) -> None:
    """Put what is there, and what is advised, first: a search is never worse than both."""
    if not _missing(main, trials):
        return
    say("measuring the data for advice")
    advised = advise(facts_of(prepared)).values
    with storage.alone(connected):
        missing = _missing(main, trials)  # another machine may have been faster
        for label, values in first_trials(question, advised):
            if label in missing:
                study.enqueue(main, question.dimensions, label, values)


def _missing(main: optuna.Study, trials: int) -> list[str]:
    """The first trials that are not there yet, as far as the study has room for them."""
    there = {trial.user_attrs.get("name") for trial in main.get_trials(deepcopy=False)}
    room = max(0, trials - len(study.roots(main)))
    return [label for label in _FIRST if label not in there][:room]


def first_trials(
    question: Question, advised: dict[str, object]
) -> list[tuple[str, dict[str, object]]]:
    """What ``params.yaml`` says, and with it the advice as far as the space has room for it."""
    params = question.params
    current = {d.key: search_space.value_of(params, d.key) for d in question.dimensions}
    inside = {d.key: d.nearest(advised[d.key]) for d in question.dimensions if d.key in advised}
    known = {key: value for key, value in inside.items() if value is not None}
    beside = {key: value for key, value in advised.items() if key not in inside}
    fits = beside.get("warmup_head.fit", "gradient") == "gradient" or not (
        {**current, **beside, **known}.get("head.hidden", params.head.hidden)
    )
    if not fits:  # a head with hidden layers can only be trained by its gradient
        beside.pop("warmup_head.fit")
    return list(zip(_FIRST, (current, {**current, **beside, **known}), strict=True))


def _devices() -> int:
    import torch

    return torch.cuda.device_count()


def _watch(crew: Crew, main: optuna.Study, question: Question, logged: Log) -> None:
    """Until the workers are done: the table where there is a terminal, else a line a trial."""
    if not _console.is_terminal:
        with crew.at_work():
            while crew.is_working():
                logged.update(say_each=True)
                time.sleep(_LOOK)
        logged.update(say_each=True)
        return
    with Live(console=_console, auto_refresh=False, transient=True) as live, crew.at_work():
        while crew.is_working():
            logged.update(say_each=False)
            live.update(tables.best_trials(main, question), refresh=True)
            time.sleep(_LOOK)
    logged.update(say_each=False)


def _print(main: optuna.Study, question: Question, connected: RDBStorage) -> None:
    _console.print(tables.best_trials(main, question))
    if len(main.directions) > 1:
        _console.print("the Pareto front; `thaw search --apply --trial N` writes a trial's values")
        return
    found = confirmation.contenders(main, question, connected)
    is_sure = confirmation.is_confirmed(found, question)
    line = tables.verdict(found, question.metrics[0], confirmed=is_sure)
    _console.print(line, highlight=False, soft_wrap=True)
    if found:
        values = study.values_of(found[0].trial, question.dimensions)
        _console.print(tables.values_text(values), highlight=False, markup=False, soft_wrap=True)
        if json.loads(found[0].trial.user_attrs.get("result", "{}")):
            _console.print(f"\n`thaw search --apply` writes them into {PARAMS_FILE}")

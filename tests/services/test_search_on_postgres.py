from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.services import colleague
from tests.services.secret_search import places_of_secrets
from tests.services.shaken_search import (
    HEADS,
    KILL,
    RESTART,
    STUDIES,
    counts_of,
    run_shaken,
    set_up_search,
)
from thaw.search.trained_heads import FOLDER, load_head
from tools.check_deploy import DEPLOY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.servers import Servers

pytestmark = pytest.mark.services

_TRIALS = 16


def test_a_search_survives_a_restart_of_the_database_and_two_killed_workers(
    servers: Servers, photos: Path, tmp_path: Path
) -> None:
    project = colleague.new_project(tmp_path / "colours", photos, servers.variables)
    counts = run_shaken(project, servers, _TRIALS, workers=4, events=(KILL, RESTART, KILL))
    assert counts.killed_twice <= 1, "two kills hit the two attempts of one trial at most"
    assert counts.complete + counts.killed_twice == _TRIALS
    assert counts.counted == _TRIALS, "each trial counts once"
    assert counts.repeats >= 1, "the trial of a killed worker is tried again"
    uploaded = [servers.store.read(HEADS, key) for key in servers.store.keys(HEADS)]
    heads = list((project.folder / FOLDER).glob("*.safetensors"))
    assert all(load_head(head) for head in heads)
    assert {head.read_bytes() for head in heads} == set(uploaded), "each head is on the store"
    assert places_of_secrets(servers, [project], [STUDIES]) == []


def test_two_jobs_of_slurm_work_at_one_search_in_clones_of_their_own(
    servers: Servers, photos: Path, tmp_path: Path
) -> None:
    """Share trials between two jobs: each counts once, and all clones show the same winner."""
    first = colleague.new_project(tmp_path / "colours", photos, servers.variables)
    set_up_search(first, servers, "together", "heads-together")
    activate = tmp_path / "venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.touch()
    options = {"THAW_VENV": str(tmp_path / "venv"), "TMPDIR": str(tmp_path), "TRIALS": "8"}
    jobs = [first.with_variables({**options, "SLURM_JOB_ID": number}) for number in ("41", "42")]
    command = ("bash", str(DEPLOY / "slurm" / "search.sbatch"))
    running = [job.start(*command) for job in jobs]
    outputs = [search.communicate(timeout=1500)[0] for search in running]
    assert [search.returncode for search in running] == [0, 0], outputs
    assert list(tmp_path.glob("thaw-search-*")) == []
    counts = counts_of(servers, "together")
    assert (counts.complete, counts.attempts, counts.repeats) == (8, 8, 0)
    both = (first, first.copied_to(tmp_path / "clone"))
    shown, same = (json.loads(one.run("thaw", "search", "--show", "--json")) for one in both)
    assert len(shown["trials"]) == 8
    assert shown["winner"] == same["winner"]
    first.output += "".join(outputs)
    assert places_of_secrets(servers, [*both], ["together"]) == []

"""DVC is killed after lines of its output, at least one in each stage; stages of two processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import interruptions, tiny
from tests.forks import Forks
from tests.project import Project
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.pipelines

# Lines of `dvc repro` after which DVC is killed: at least one in each stage.
KILL_POINTS = (
    "Running stage 'prepare'",
    "Running stage 'warmup_head'",
    "epoch 2/4",
    "Running stage 'unfreeze'",
    "epoch 1/3",
    "epoch 2/3",
    "epoch 1/2",
    "Running stage 'evaluate'",
)


@pytest.mark.soak
def test_kills_at_all_points_leave_the_same_bits(
    short_pipeline: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = Project(tmp_path_factory.mktemp("killed"))
    project.small()
    interruptions.save_after_every_epoch(project)
    outputs = []
    for line in KILL_POINTS:
        outputs.append(interruptions.kill_dvc(project, line))
        assert interruptions.orphans(project) == [], "a trainer outlived the killed DVC"
    outputs.append(project.run("dvc", "repro"))
    assert sum("continuing after epoch" in output for output in outputs) >= 3
    assert project.digests() == short_pipeline.digests()
    interruptions.assert_one_run_without_repeated_metrics(project)


@pytest.fixture
def of_two(tmp_path: Path) -> Project:
    """A tiny project whose stages run in two processes."""
    project = Project(tmp_path / "project")
    tiny.set_up(project)
    project.set(launch__processes=2)
    return project


def test_two_processes_run_all_stages(of_two: Project) -> None:
    forks = Forks(of_two, processes=2)
    forks.stage("prepare")  # always one process
    forks.stages(*STAGES[1:])
    assert "registered classifier version 1" in forks.output


@pytest.mark.soak
def test_two_processes_train_through_the_whole_pipeline(of_two: Project) -> None:
    output = of_two.run("dvc", "repro")
    assert "registered classifier version 1" in output

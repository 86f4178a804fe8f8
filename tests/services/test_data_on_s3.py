from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.services import colleague

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.conftest import Servers

pytestmark = pytest.mark.services


def test_a_fresh_clone_pulls_the_results_and_has_nothing_to_do(
    servers: Servers, photos: Path, tmp_path: Path
) -> None:
    servers.store.create_bucket("team-data")
    project = colleague.new_project(tmp_path / "colours", photos, servers.variables)
    project.run("dvc", "remote", "add", "--default", "team", "s3://team-data/colours")
    project.run("dvc", "repro")
    project.commit("result")
    project.run("dvc", "push", "--run-cache")

    colleague.Colleague(tmp_path, servers.variables).run("git", "clone", "--quiet", "colours", "b")
    shutil.rmtree(project.folder / ".dvc" / "cache")
    clone = colleague.Colleague(tmp_path / "b", servers.variables)
    clone.run("dvc", "pull")
    assert "Data and pipelines are up to date" in clone.run("dvc", "repro")
    assert clone.digests() == project.digests()

    project.set(warmup_head__lr=0.02)
    project.run("dvc", "repro")
    project.commit("faster")
    project.run("dvc", "push", "--run-cache")
    clone.run("git", "pull", "--quiet")
    shown = clone.run("dvc", "repro", "--pull")
    assert "Running stage" not in shown
    assert clone.digests() == project.digests()
    assert colleague.files_with(servers.secrets, project.folder, clone.folder) == []

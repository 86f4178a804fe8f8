from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.services.colleague import Colleague
from tests.services.secret_search import places_of_secrets

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.servers import Servers

pytestmark = pytest.mark.services


def test_a_fresh_clone_pulls_the_results_and_has_nothing_to_do(
    servers: Servers, digits: Colleague, tmp_path: Path
) -> None:
    servers.store.create_bucket("team-data")
    project = digits.copied_to(tmp_path / "a")
    project.run("dvc", "remote", "add", "--default", "team", "s3://team-data/digits")
    project.commit("remote")
    project.tag("model@v1.0.0")
    shown = project.run("gto", "show", "--json")
    assert json.loads(shown)["model"]["version"] == "v1.0.0"
    project.run("dvc", "push", "--run-cache")

    Colleague(tmp_path, servers.variables).run("git", "clone", "--quiet", "a", "b")
    cache, kept = project.folder / ".dvc" / "cache", tmp_path / "kept"
    cache.rename(kept)  # what the clone gets, it gets from S3
    clone = Colleague(tmp_path / "b", servers.variables)
    clone.run("dvc", "pull")
    assert "Data and pipelines are up to date" in clone.run("dvc", "repro")
    assert clone.digests() == project.digests()
    clone.run("dvc", "artifacts", "get", str(project.folder), "model", "--out", "model")
    for name in ("model.json", "model.safetensors", "statistics.safetensors"):
        original = project.folder / "models/fold_bn/merged" / name
        assert (clone.folder / "model" / name).read_bytes() == original.read_bytes()

    shutil.rmtree(cache, ignore_errors=True)
    kept.rename(cache)
    project.set(fold_bn__lr=0.0002)
    project.run("dvc", "repro")
    project.commit("slower")
    project.run("dvc", "push", "--run-cache")
    clone.set(fold_bn__lr=0.0002)  # the same change without the colleague's dvc.lock
    shown = clone.run("dvc", "repro", "--pull")
    # Metrics belong to git and are in no cache: `evaluate` runs, and finds the colleague's version.
    assert re.findall("Running stage '(.*)'", shown) == ["evaluate"]
    assert "registered classifier version 2" in shown
    assert clone.digests() == project.digests()
    clone.run("git", "checkout", "--quiet", ".")
    clone.run("git", "pull", "--quiet")
    shown = clone.run("dvc", "repro", "--pull")
    assert "Running stage" not in shown
    assert clone.digests() == project.digests()
    assert places_of_secrets(servers, [project, clone]) == []

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from tests import settings
from thaw.system.project_paths import PARAMS_FILE
from thaw.tracking import run_identity
from thaw.tracking.run_identity import (
    CHANGED,
    KEY,
    RunIdentity,
    identify,
    uncommitted_parameters,
)

if TYPE_CHECKING:
    from pathlib import Path


def commit(params: str) -> None:
    """Commit ``params`` as ``params.yaml`` in a new repository, the current folder."""
    PARAMS_FILE.write_text(params)
    who = ["-c", "user.name=thaw", "-c", "user.email=thaw@example.org"]
    for command in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "-qm", "params"]):
        subprocess.run(["git", *command], check=True)


def test_the_key_depends_on_data_and_values_but_not_on_the_store() -> None:
    params = settings.PARAMS
    tracking = params.tracking.model_copy(update={"experiment": "other"})
    keys = {
        identify(params, "data").key,
        identify(params.model_copy(update={"tracking": tracking}), "data").key,
    }
    assert len(keys) == 1
    other_seed = params.model_copy(update={"seed": params.seed + 1})
    keys |= {identify(params, "other data").key, identify(other_seed, "data").key}
    assert len(keys) == 3


def test_an_identity_survives_a_file() -> None:
    identity = identify(settings.PARAMS, "data")
    assert RunIdentity(**json.loads(json.dumps(asdict(identity)))) == identity
    assert identity.tags[KEY] == identity.key
    assert identity.params["seed"] == str(settings.PARAMS.seed)


def test_the_changed_values_begin_with_those_that_are_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commit("seed: 1\nunfreeze: {depth: 3, lr: 0.1}\n")
    PARAMS_FILE.write_text("seed: 1\naugment: {rotate: 12.0}\nunfreeze: {depth: 3}\n")
    assert uncommitted_parameters() == {"augment.rotate", "unfreeze.lr"}
    monkeypatch.setattr(run_identity, "uncommitted_parameters", lambda: {"augment.rotate"})
    text = identify(settings.PARAMS, "data").tags[CHANGED]
    assert text.startswith(f"rotate={settings.PARAMS.augment.rotate}, ")


@pytest.mark.parametrize(
    ("committed", "named"),
    [
        (None, set()),
        ("", set()),
        ("- a list", set()),
        ("text", set()),
        ("augment: 3", {"seed"}),
    ],
)
def test_a_file_that_is_not_committed_as_a_mapping_names_no_parameter_or_all(
    committed: str | None, named: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if committed is not None:
        commit(committed)
    PARAMS_FILE.write_text("seed: 1\n")
    assert uncommitted_parameters() == named
    PARAMS_FILE.unlink()
    assert uncommitted_parameters() == set()

"""Tests of what people see in MLflow's pages of a project: runs, curves, the registered model."""

from __future__ import annotations

import os
import re
import shutil
import sys
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest
import requests

from tests.cli.verbs import run as run_verb
from tests.project import ROOT
from tests.registry.served import image, model_directory
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.registry.register import ModelRecord, register
from thaw.tracking.result_run import ResultRun
from thaw.tracking.store_scope import unchanged_store
from thaw.training.history import EpochRow
from tools.services.server_process import HOST, ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving.browser import Page

pytestmark = pytest.mark.browser
SCORES = {"accuracy": 0.8125, "log_loss": 0.4375}
TEXT = "document.body.innerText"
_DIALOG = "document.querySelector('[role=dialog]')"
_EDIT = "[data-component-id*=modelversiontablealiasescell]"


def _row_of(version: int) -> str:
    """Return the row of a version in the table of the registered model, as JavaScript."""
    rows = "[...document.querySelectorAll('[role=row]')]"
    return f"{rows}.find(row => /Version {version}\\b/.test(row.innerText))"


def _button(label: str) -> str:
    """Return the button with this label, as JavaScript."""
    buttons = "[...document.querySelectorAll('button')]"
    return f"{buttons}.find(button => button.innerText.trim() === '{label}')"


@dataclass(frozen=True)
class Pages:
    """MLflow's server of a project with two runs and two versions."""

    project: Path
    server: str
    runs: str  # the address that `thaw ui` prints
    run_id: str  # of the second version


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    project = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "params.yaml", project)
    with chdir(project), pytest.MonkeyPatch.context() as patch, unchanged_store():
        patch.setenv("MLFLOW_TRACKING_URI", "")
        digest = model_directory(project / "model").digest
        run_id = ""
        for seed in (0, 1):
            patch.setenv("DVC_EXP_NAME", f"leafy-seed-{seed}")
            run_id = add_result(project / "model", digest, seed)
    port = free_port()
    address = f"http://{HOST}:{port}"
    thaw = str(Path(sys.executable).with_name("thaw"))
    command = [thaw, "ui", "--port", str(port)]
    server = ServerProcess(command, os.environ, project / "ui.log")
    try:
        # Another program may have taken the port meanwhile: only this server knows the run.
        server.wait_until(lambda: knows_run(address, run_id))
        printed = re.search(r"runs: (\S+)", (project / "ui.log").read_text())
        assert printed
        yield Pages(project, address, printed[1], run_id)
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def _log_of_server(pages: Pages) -> Iterator[None]:
    """Print what the server has logged; pytest shows it where the test fails."""
    yield
    sys.stdout.write((pages.project / "ui.log").read_text())


def knows_run(server: str, run_id: str) -> bool:
    """Return whether an MLflow server answers at this address and has the run in its store."""
    address = f"{server}/api/2.0/mlflow/runs/get"
    try:
        return requests.get(address, {"run_id": run_id}, timeout=60).ok
    except requests.RequestException:
        return False


def add_result(model: Path, digest: str, seed: int) -> str:
    """Log a result with the curves of all stages and register its model; return the run."""
    params = load(Params).model_copy(update={"seed": seed})
    run = ResultRun(params, "d" * 64, f"result {seed}")
    rows = [
        EpochRow(0, None, 2.0, 0.1, 0.0),
        EpochRow(1, 1.5, 1.0, 0.5, 0.1),
        EpochRow(2, 1.0, 0.8, 0.6, 0.1),
    ]
    with run.active():
        run.log_curve(dict.fromkeys(("warmup_head", "unfreeze", "fold_bn"), rows))
        mlflow.log_metrics({f"test/{name}": value for name, value in SCORES.items()})
        register(params.tracking.registered_model, model, ModelRecord(digest, SCORES), image())
    return run.run_id


def test_another_server_is_not_taken_for_that_of_the_project(pages: Pages) -> None:
    assert knows_run(pages.server, pages.run_id)
    assert not knows_run(pages.server, "0" * 32)
    assert not knows_run(f"http://{HOST}:{free_port()}", pages.run_id)


def test_the_runs_table_begins_with_scores_and_changed_values(page: Page, pages: Pages) -> None:
    page.open(pages.runs, 1500, 800)
    page.wait(f"{TEXT}.includes('test/log_loss') && {TEXT}.includes('0.8125')", 60)
    page.screenshot("runs")
    heads = page.evaluate(
        "[...document.querySelectorAll('[role=columnheader]')].map(head => head.innerText.trim())"
    )
    names = list(dict.fromkeys(name for name in heads if "/" in name or "." in name))
    assert names == ["test/accuracy", "test/log_loss", "thaw.changed", "dvc.experiment"]
    shown = page.evaluate(TEXT)
    assert "leafy-seed-1" in shown
    assert "seed=1" in shown
    assert "thaw.key" not in shown
    assert "Model training" in shown  # not the pages for generative AI
    assert page.evaluate("location.hash").startswith("#/experiments/")


def test_the_page_of_experiments_lists_no_rows_of_the_history_of_promotions(
    page: Page, pages: Pages
) -> None:
    page.open(f"{pages.server}/#/experiments", 1500, 800)
    page.wait(f"{TEXT}.includes('Default')", 60)
    page.screenshot("experiments")
    rows = page.evaluate("[...document.querySelectorAll('[role=row] a')].map(a => a.innerText)")
    assert sorted(rows) == ["Default", "thaw"]


def test_a_run_has_one_curve_over_all_phases(page: Page, pages: Pages) -> None:
    page.open(f"{pages.runs.split('/runs?')[0]}/runs/{pages.run_id}/model-metrics", 1500, 1000)
    page.wait(f"{TEXT}.includes('all_phases')", 60)
    line = page.wait("document.querySelector('path.js-line')?.getAttribute('d')", 60)
    page.screenshot("curves")
    assert len(re.findall("[MLHV]", line)) >= 3  # a curve, not a point


def test_the_registered_model_shows_its_aliases_and_a_moved_one_is_noticed(
    page: Page, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    page.open(f"{pages.server}/#/models/classifier", 1500, 800)
    page.wait(f"/@.champion/.test({TEXT}) && /@.challenger/.test({TEXT})", 60)
    page.screenshot("model")
    # A click on the pencil beside the aliases of version 2, the name, Enter, "Save aliases".
    page.click(f"{_row_of(2)}?.querySelector('{_EDIT}')")
    page.click("document.querySelector('[role=dialog] input')")
    page.wait("document.activeElement?.matches('[role=dialog] input')")
    page.type("champion")
    page.screenshot("aliases")
    page.wait(f"/@.champion/.test({_DIALOG}.innerText)")
    page.click(_button("Save aliases"))
    page.wait(f"!{_DIALOG}")
    # The dialog closes when the server has answered; the table may keep the old aliases.
    page.call("Page.reload")
    page.wait(f"/@.champion/.test({_row_of(2)}?.innerText)")
    page.screenshot("moved")
    with chdir(pages.project), unchanged_store():
        output = run_verb("status")
    assert "moved by hand: it passed no gate" in " ".join(output.split())

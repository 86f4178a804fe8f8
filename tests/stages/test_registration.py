from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import settings, tiny
from tests.stages import small
from thaw.context import Context
from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.evaluation.page.subject import Documents
from thaw.model import directory
from thaw.model.spec import Parent
from thaw.stages import evaluate
from thaw.stages.registration import record
from thaw.system import project_paths
from thaw.system.stage_names import TRAINING_STAGES
from thaw.tracking import result_run
from thaw.tracking.store import connect
from thaw.training import history

if TYPE_CHECKING:
    from thaw.config.params import Params
    from thaw.evaluation.page.subject import Registration
    from thaw.evaluation.scores import Result
    from thaw.model.spec import ModelSpec


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a model of three stages and prepared data."""
    monkeypatch.chdir(tmp_path)
    small.save_model(evaluate.MODEL)
    small.prepare(["test", "train"])
    for stage in TRAINING_STAGES:
        path = project_paths.REPORTS / stage / project_paths.HISTORY
        history.write([history.EpochRow(0, None, 1.0, 0.5, 0.0)], path)


def params(uri: str) -> Params:
    tracking = settings.PARAMS.tracking.model_copy(update={"uri": uri})
    return settings.PARAMS.model_copy(update={"tracking": tracking})


def save_with_parents(digest: str) -> ModelSpec:
    """Save the model with parents of this digest; return its specification."""
    model, spec = directory.load(evaluate.MODEL)
    parents = [Parent(stage=stage, digest=digest) for stage in TRAINING_STAGES[:-1]]
    return directory.save(model, spec.model_copy(update={"parents": parents}), evaluate.MODEL)


def evaluated() -> tuple[Prepared, Result, ModelSpec]:
    """Return the prepared data, the result of the model on it, and the model's specification."""
    data, spec = Prepared(project_paths.PREPARED), save_with_parents("a" * 64)
    model, _ = directory.load(evaluate.MODEL)
    context = Context(params(""), data, tiny.runtime())
    return data, evaluate.run(context, model, spec, context.params.augment.fixed()), spec


def write_documents(registration: Registration) -> Documents:
    page, card = Path("page.html"), Path("MODEL_CARD.md")
    release = f'<p class="release">{registration.alias}</p>'
    page.write_text(f"{registration.name} {registration.version}{release}")
    card.write_text("card")
    return Documents(page, card, f"[report]({registration.report})")


def test_a_store_that_is_away_names_what_is_missing_and_the_next_run_registers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(result_run, "_WAIT", -1.0)
    data, result, spec = evaluated()
    remedy = r"(?s)Connection refused.*only the registration is missing: `dvc repro` repeats"
    with pytest.raises(ThawError, match=remedy):
        record(params("http://127.0.0.1:9"), result, spec, data, evaluate.MODEL, write_documents)
    tracking = params(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    record(tracking, result, spec, data, evaluate.MODEL, write_documents)
    registered = json.loads((project_paths.REPORTS / "evaluate/registered.json").read_text())
    assert (registered["version"], registered["alias"]) == (1, "champion")
    client, experiment = connect(tracking.tracking)
    run_id = registered["run_id"]
    for name, text in (
        ("report.html", 'classifier 1<p class="release">champion</p>'),
        ("MODEL_CARD.md", "card"),
    ):
        assert Path(client.download_artifacts(run_id, name)).read_text() == text
    address = f"#/experiments/{experiment}/runs/{run_id}/artifacts/report.html"
    assert client.get_model_version("classifier", "1").description == f"[report]({address})"


@pytest.mark.slow
def test_a_run_that_makes_the_same_model_again_adds_no_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, result, spec = evaluated()
    chosen = params(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    record(chosen, result, spec, data, evaluate.MODEL, write_documents)
    # The model is the same; it was made from others, by other parameters.
    spec = save_with_parents("b" * 64)
    other = chosen.model_copy(update={"seed": 77})
    record(other, result, spec, data, evaluate.MODEL, write_documents)
    path = project_paths.REPORTS / "evaluate/registered.json"
    registered = json.loads(path.read_text())
    assert (registered["version"], registered["is_new"]) == (1, False)
    name = chosen.tracking.registered_model
    line = f"not registered again: this is the model of {name} version 1, @champion"
    assert line in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_of_a_run_that_is_evaluated_again_shows_what_was_decided(tmp_path: Path) -> None:
    data, result, spec = evaluated()
    chosen = params(f"sqlite:///{tmp_path}/mlruns/mlflow.db")

    def recorded(chosen: Params) -> tuple[int, str]:
        """Return the version of the run, and its page."""
        record(chosen, result, spec, data, evaluate.MODEL, write_documents)
        path = project_paths.REPORTS / "evaluate/registered.json"
        found = json.loads(path.read_text())
        client, _ = connect(chosen.tracking)
        page = Path(client.download_artifacts(found["run_id"], "report.html"))
        return found["version"], page.read_text()

    assert recorded(chosen) == (1, Path("page.html").read_text())
    name = chosen.tracking.registered_model
    connect(chosen.tracking)[0].delete_registered_model_alias(name, "champion")
    for again in (chosen, chosen.model_copy(update={"seed": 77})):  # the run, and another one
        version, page = recorded(again)
        assert (version, "It had the alias champion since" in page) == (1, True)
        assert "It had" not in Path("page.html").read_text()  # an output of DVC

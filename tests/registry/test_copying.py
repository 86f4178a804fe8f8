from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tests.promotion.offered import Shop
from thaw.errors import ThawError
from thaw.promotion.status import alias_statuses
from thaw.registry import copying
from thaw.registry.copying import Copied, copy_version
from thaw.registry.fetch import Version, fetch
from thaw.tracking.run_owner import PROCESS, this_process
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

GATE = {"gate": "passed", "gate.when": "2026-01-01"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Return a project with the model `a`, whose champion has a report and a curve."""
    folder = tmp_path_factory.mktemp("project")
    made = Shop(folder, f"sqlite:///{folder}/mlruns/mlflow.db")
    made.register("a")
    run_id = made.client.get_model_version("a", "1").run_id
    assert run_id is not None
    for step in range(3):
        made.client.log_metric(run_id, "unfreeze/val_loss", 1.0 / (step + 1), step=step)
    made.client.log_text(run_id, "the report", "gate/x/report.html")
    report = {"gate.report": f"runs:/{run_id}/gate/x/report.html"}
    for tag, value in {**GATE, **report}.items():
        made.client.set_model_version_tag("a", "1", tag, value)
    made.client.update_model_version("a", "1", "what the gate said")
    return made


def carried(client: MlflowClient, name: str) -> dict[str, str]:
    """Check what every copy keeps, and return the tags of version 1."""
    entry = client.get_model_version(name, "1")
    assert entry.description == "what the gate said"
    assert entry.tags["test.accuracy"] == "0.9"
    assert entry.tags["thaw.parents"] == "backbone 000"
    assert entry.tags["thaw.copied_from"] == "models:/a/1"
    assert entry.tags["copied.gate"] == "passed"
    assert "gate" not in entry.tags  # the other model has a gate of its own
    tags: dict[str, str] = entry.tags
    return tags


@pytest.mark.slow
def test_a_copy_within_a_store_keeps_scores_report_and_lineage(shop: Shop, tmp_path: Path) -> None:
    made = copy_version("models:/a@champion", "prod", shop.params.tracking)
    assert made == Copied("prod", 1)
    tags = carried(shop.client, "prod")
    assert tags["copied.gate.report"].endswith("/gate/x/report.html")
    assert shop.aliases("prod") == {"challenger": 1}
    source, target = (shop.client.get_model_version(name, "1") for name in ("a", "prod"))
    assert source.run_id == target.run_id
    assert source.model_id == target.model_id
    assert fetch(Version("prod", 1), tmp_path).is_dir()
    assert copy_version("models:/a@champion", "prod", shop.params.tracking) == made
    shop.client.set_registered_model_alias("prod", "champion", "1")
    shop.client.delete_registered_model_alias("prod", "challenger")
    again = copy_version("models:/a@champion", "prod", shop.params.tracking)
    assert again == Copied("prod", 1, "champion")
    assert shop.aliases("prod") == {"champion": 1}


@pytest.mark.slow
def test_a_copy_on_a_server_brings_the_run_and_its_files(
    shop: Shop, server: str, tmp_path: Path
) -> None:
    made = copy_version("models:/a/1", "prod", shop.params.tracking, server)
    assert made == Copied("prod", 1)
    client, _ = connect(shop.params.tracking.model_copy(update={"uri": server}))
    tags = carried(client, "prod")
    entry = client.get_model_version("prod", "1")
    assert entry.run_id is not None
    run = client.get_run(entry.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"kind": "good"}
    assert run.data.tags["thaw.git_dirty"] == "false"
    curve = client.get_metric_history(entry.run_id, "unfreeze/val_loss")
    assert [(metric.step, metric.value) for metric in curve] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert tags["copied.gate.report"] == f"runs:/{entry.run_id}/gate/x/report.html"
    report = client.download_artifacts(entry.run_id, "gate/x/report.html", str(tmp_path))
    with open(report) as stream:  # noqa: PTH123
        assert stream.read() == "the report"
    assert fetch(Version("prod", 1), tmp_path).is_dir()
    assert [one.alias for one in alias_statuses(client, "prod")] == ["challenger"]
    assert copy_version("models:/a/1", "prod", shop.params.tracking, server) == made
    there = shop.params.tracking.model_copy(update={"uri": server})
    again = copy_version("models:/prod/1", "again", there)
    assert fetch(Version("again", again.version), tmp_path / "again").is_dir()


@pytest.mark.slow
def test_a_registered_model_is_copied_within_a_server(server: str, tmp_path: Path) -> None:
    there = Shop(tmp_path, server)
    there.register("served")
    assert copy_version("models:/served/1", "served-again", there.params.tracking).version == 1
    (tmp_path / "copy").mkdir()
    assert fetch(Version("served-again", 1), tmp_path / "copy").is_dir()


def test_a_copy_never_has_the_verdict_of_the_other_models_gate(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for step in ("set_model_version_tag", "delete_model_version_tag", "update_model_version"):
        monkeypatch.setattr(MlflowClient, step, killed)
    with contextlib.suppress(KeyboardInterrupt):
        copy_version("models:/a/1", "early", shop.params.tracking)
    assert "gate" not in shop.client.get_model_version("early", "1").tags


@pytest.mark.slow
def test_a_version_that_was_changed_after_registration_is_not_copied(
    shop: Shop, tmp_path: Path
) -> None:
    shop.register("evil")
    uri = shop.client.get_model_version_download_uri("evil", "1")
    stored = Path(mlflow.artifacts.download_artifacts(uri))  # a local store's own folder
    weights = next(stored.rglob("model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    other = f"sqlite:///{tmp_path}/other/mlflow.db"
    with pytest.raises(
        ThawError, match=r"^cannot be copied: models:/\w+/\d+.*was changed or dam.* lists"
    ):
        copy_version("models:/evil/1", "prod", shop.params.tracking, other)
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_a_killed_copy_leaves_no_incomplete_version(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path}/other/mlflow.db"

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for step in ("log_artifacts", "create_model_version", "set_registered_model_alias"):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, step, killed)
            with pytest.raises(KeyboardInterrupt):
                copy_version("models:/a/1", "killed", shop.params.tracking, uri)
    assert copy_version("models:/a/1", "killed", shop.params.tracking, uri).version == 1
    client, experiment = connect(shop.params.tracking.model_copy(update={"uri": uri}))
    assert len(client.search_runs([experiment])) == 1
    assert client.get_model_version_by_alias("killed", "challenger").version in {1, "1"}


@pytest.mark.parametrize("is_running", [True, False])
def test_a_copy_that_another_process_makes_is_removed_only_if_that_process_ended(
    shop: Shop, tmp_path: Path, is_running: bool
) -> None:
    there = shop.params.tracking.model_copy(update={"uri": f"sqlite:///{tmp_path}/other/mlflow.db"})
    client, experiment = connect(there)
    machine = this_process().rpartition(":")[0]
    process = os.getppid() if is_running else 999_999_999
    old = shop.client.get_model_version("a", "1").run_id
    half = client.create_run(
        experiment, tags={"thaw.copied_run": old or "", PROCESS: f"{machine}:{process}"}
    )
    copy_version("models:/a/1", "beside", shop.params.tracking, there.uri)
    stage = client.get_run(half.info.run_id).info.lifecycle_stage
    assert stage == ("active" if is_running else "deleted")


@pytest.mark.parametrize("place", ["same store", "other store"])
def test_a_request_that_mlflow_repeats_makes_one_copy(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    uri = "" if place == "same store" else f"sqlite:///{tmp_path}/other/mlflow.db"
    create = MlflowClient.create_model_version

    def repeated(*given: Any, **named: Any) -> ModelVersion:
        create(*given, **named)  # its answer is lost
        return create(*given, **named)

    monkeypatch.setattr(MlflowClient, "create_model_version", repeated)
    assert copy_version("models:/a/1", "once", shop.params.tracking, uri) == Copied("once", 1)
    client, _ = connect(
        shop.params.tracking.model_copy(update={"uri": uri or shop.params.tracking.uri})
    )
    (version,) = client.search_model_versions("name = 'once'")
    assert client.get_model_version_by_alias("once", "challenger").version == version.version


@pytest.mark.parametrize(
    ("source", "name", "reason"),
    [
        ("models:/a@missing", "b", "there is no such version or alias; a has "),
        ("models:/a/1", "b/c", "'b/c': should be a name of letters"),
        ("models:/a/1", "a", "copy it to another model"),
        ("a", "b", "must be models:/NAME@ALIAS"),
    ],
)
def test_a_copy_that_is_not_possible_is_refused_with_one_line(
    shop: Shop, source: str, name: str, reason: str
) -> None:
    with pytest.raises(ThawError, match=reason):
        copying.copy_version(source, name, shop.params.tracking)

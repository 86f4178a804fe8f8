from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import importlib_metadata
import mlflow
import pytest
from mlflow.artifacts import download_artifacts
from mlflow.tracking import MlflowClient
from mlflow.utils import requirements_utils

from tests.registry.served import image, model_directory, text
from thaw import __version__
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.registry.descriptions import OF_MODEL
from thaw.registry.ledger import Ledger
from thaw.registry.names import DIGEST, GATE, PARENTS, TEST_DIGEST
from thaw.registry.register import ModelRecord, Registered, create_model, register
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import RegisteredModel

ROOT = Path(__file__).parent.parent.parent
SCORES = {"accuracy": 0.75, "ece": 0.0625}

# What a consumer runs: MLflow alone, told nothing but the model's name.
CONSUMER = """
import json, sys
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(model.predict(pandas.DataFrame({"image": sys.argv[2:]}))))
"""


class Store:
    """A store of its own and a model directory; each test registers under its own name."""

    def __init__(self, folder: Path) -> None:
        self.uri = f"sqlite:///{folder / 'mlruns/mlflow.db'}"
        tracking = load(Params, ROOT / "params.yaml").tracking
        self.client, self.experiment = connect(tracking.model_copy(update={"uri": self.uri}))
        self.model = folder / "fold_bn" / "merged"
        self.digest = model_directory(self.model).digest

    def register(self, name: str, run_id: str | None = None, digest: str = "") -> Registered:
        """Register the model from a new run, or from the one with ``run_id``."""
        with mlflow.start_run(run_id, experiment_id=None if run_id else self.experiment):
            return register(name, self.model, ModelRecord(digest or self.digest, SCORES), image())

    def new_run(self) -> str:
        run_id: str = self.client.create_run(self.experiment).info.run_id
        return run_id

    def versions(self, name: str) -> list[int]:
        return sorted(int(mv.version) for mv in self.client.search_model_versions(f"name='{name}'"))

    def aliases(self, name: str) -> dict[str, int]:
        aliases = self.client.get_registered_model(name).aliases
        return {alias: int(number) for alias, number in aliases.items()}

    def logged(self, run_id: str) -> list[LoggedModel]:
        found = self.client.search_logged_models([self.experiment])
        return [model for model in found if model.source_run_id == run_id]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it itself
        yield Store(tmp_path_factory.mktemp("project"))
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def artifacts(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a registered model, as a server downloads them."""
    store.register("downloaded")
    folder = tmp_path_factory.mktemp("downloaded")
    download_artifacts("models:/downloaded@champion", dst_path=str(folder))
    return folder


@pytest.mark.slow
def test_a_registration_lists_the_files_of_no_package_and_leaves_that_to_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[None] = []
    monkeypatch.setattr(requirements_utils, "_MODULES_TO_PACKAGES", None)
    monkeypatch.setattr(importlib_metadata, "packages_distributions", lambda: listed.append(None))
    store.register("unlisted")
    assert listed == []
    assert requirements_utils._MODULES_TO_PACKAGES is None


class RacedClient(MlflowClient):
    """A client for which another machine creates every model a moment earlier."""

    def create_registered_model(self, *arguments: Any, **options: Any) -> RegisteredModel:
        MlflowClient(self.tracking_uri).create_registered_model(*arguments, **options)
        return super().create_registered_model(*arguments, **options)


def test_machines_that_create_a_model_at_once_share_it(store: Store) -> None:
    raced = RacedClient(store.client.tracking_uri)
    for _ in range(2):
        create_model(raced, "raced")
    assert raced.get_registered_model("raced").description == OF_MODEL


@pytest.mark.slow
def test_the_first_version_is_the_champion_and_the_next_the_challenger(store: Store) -> None:
    assert store.register("two") == Registered("two", 1, "champion")
    assert store.register("two") == Registered("two", 2, "challenger")
    assert store.aliases("two") == {"champion": 1, "challenger": 2}


@pytest.mark.slow
def test_the_scores_come_before_the_digests_among_the_tags(store: Store) -> None:
    """MLflow's pages list tags in the order in which the store returns them."""
    store.register("ordered")
    tags = [*store.client.get_model_version("ordered", "1").tags]
    assert tags[:2] == ["test.accuracy", "test.ece"]
    assert {DIGEST, PARENTS, TEST_DIGEST} <= {*tags[2:]}


@pytest.mark.slow
def test_the_newest_version_is_the_challenger_and_the_champion_stays(store: Store) -> None:
    for _ in range(3):
        store.register("three")
    assert store.aliases("three") == {"champion": 1, "challenger": 3}


@pytest.mark.slow
def test_no_later_version_becomes_champion_by_itself(store: Store) -> None:
    store.register("dethroned")
    store.client.delete_registered_model_alias("dethroned", "champion")
    assert store.register("dethroned").alias == "challenger"


@pytest.mark.slow
def test_registering_the_same_weights_of_a_run_again_makes_nothing_new(store: Store) -> None:
    run_id = store.new_run()
    first = store.register("again", run_id)
    assert store.register("again", run_id) == first
    assert store.versions("again") == [1]
    assert len(store.logged(run_id)) == 1


@pytest.mark.slow
def test_registering_again_restores_files_that_are_missing_or_cut(store: Store) -> None:
    run_id = store.new_run()
    store.register("restored", run_id)
    (model,) = store.logged(run_id)
    place = model.artifact_location.removeprefix("file://").removeprefix("file:")
    weights = Path(place) / "data" / "merged" / "model.safetensors"
    before, time = weights.read_bytes(), weights.stat().st_mtime_ns
    store.register("restored", run_id)
    assert weights.stat().st_mtime_ns == time  # intact files are not uploaded again
    weights.unlink()
    store.register("restored", run_id)
    assert weights.read_bytes() == before
    weights.write_bytes(before[:-1])
    store.register("restored", run_id)
    assert weights.read_bytes() == before
    assert store.versions("restored") == [1]


@pytest.mark.slow
def test_a_challenger_that_is_registered_again_stays_the_challenger(store: Store) -> None:
    store.register("stays")
    run_id = store.new_run()
    assert store.register("stays", run_id) == store.register("stays", run_id)
    assert store.aliases("stays") == {"champion": 1, "challenger": 2}


@pytest.mark.slow
def test_other_weights_of_the_same_run_are_another_version(store: Store) -> None:
    run_id = store.new_run()
    store.register("weights", run_id)
    assert store.register("weights", run_id, digest="f" * 64).version == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [
        "finalize_logged_model",
        "create_registered_model",
        "create_model_version",
        "set_model_version_tag",
        "create_experiment",
        "set_registered_model_alias",
        "set_experiment_tag",
    ],
)
def test_a_registration_that_was_killed_is_taken_up_where_it_stopped(
    step: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    name, run_id = f"killed-at-{step}", store.new_run()
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, step, killed)
        with pytest.raises(KeyboardInterrupt):
            store.register(name, run_id)
    assert store.register(name, run_id) == Registered(name, 1, "champion")
    assert store.versions(name) == [1]
    assert len(store.logged(run_id)) == 1
    assert store.aliases(name) == {"champion": 1}
    (row,) = Ledger(store.client, name).complete()
    assert (row.decision.kind, row.decision.to, row.state) == ("first", 1, "done")


@pytest.mark.slow
def test_a_first_version_that_was_deleted_before_it_was_champion_stops_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", killed)
        with pytest.raises(KeyboardInterrupt):
            store.register("never")
    store.client.delete_model_version("never", "1")
    assert store.register("never") == Registered("never", 2, "challenger")


@pytest.mark.slow
def test_a_version_that_was_deleted_is_registered_anew(store: Store) -> None:
    run_id = store.new_run()
    store.register("renewed", run_id)
    store.client.delete_model_version("renewed", "1")
    assert store.register("renewed", run_id) == Registered("renewed", 2, "challenger")
    assert len(store.logged(run_id)) == 1


@pytest.mark.slow
def test_the_scores_stand_once_with_the_run_and_with_the_version(store: Store) -> None:
    run_id = store.new_run()
    for _ in range(2):
        store.register("scored", run_id)
    for name, value in SCORES.items():
        (metric,) = store.client.get_metric_history(run_id, f"test/{name}")
        assert metric.value == value
    (model,) = store.logged(run_id)
    assert {metric.key: metric.value for metric in model.metrics or []} == {
        f"test/{name}": value for name, value in SCORES.items()
    }
    tags = store.client.get_model_version("scored", "1").tags
    scores = {"test.accuracy": "0.75", "test.ece": "0.0625"}
    known = {DIGEST: store.digest, PARENTS: "", TEST_DIGEST: "", GATE: "first, no gate"}
    assert tags == {**known, **scores}


@pytest.mark.slow
def test_the_version_leads_back_to_its_run(store: Store) -> None:
    run_id = store.new_run()
    store.register("traced", run_id)
    assert store.client.get_model_version("traced", "1").run_id == run_id


@pytest.mark.slow
def test_a_new_process_elsewhere_predicts_what_was_evaluated(store: Store, tmp_path: Path) -> None:
    store.register("served")
    images = [image(seed) for seed in range(3)]
    done = subprocess.run(
        [sys.executable, "-c", CONSUMER, "models:/served@champion", *map(text, images)],
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "MLFLOW_TRACKING_URI": store.uri,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    served: list[dict[str, Any]] = json.loads(done.stdout)
    expected = Predictor(store.model).probabilities(images)
    for row, probabilities in zip(served, expected, strict=True):
        assert list(row["probabilities"].values()) == pytest.approx(probabilities.tolist())


@pytest.mark.slow
def test_nothing_that_is_logged_is_a_pickle_or_code(artifacts: Path) -> None:
    files = [path for path in artifacts.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"MLmodel", "model.safetensors", "model.json"}
    for path in files:
        assert path.suffix in {"", ".json", ".safetensors", ".txt", ".yaml"}, path
        # pickles of protocol 2 and later, and the zip files in which torch hides them
        assert not path.read_bytes().startswith((b"\x80", b"PK")), path
    assert "code: null" in (artifacts / "MLmodel").read_text()


def test_the_model_directory_is_logged_bit_for_bit(artifacts: Path, store: Store) -> None:
    for path in store.model.iterdir():
        assert (artifacts / "data" / "merged" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_a_tampered_artifact_is_not_loaded(artifacts: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(artifacts, tmp_path / "model"))
    weights = folder / "data" / "merged" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ThawError, match="was changed or damaged"):
        mlflow.pyfunc.load_model(str(folder))


def test_the_requirements_pin_the_packages_that_computed_the_scores(artifacts: Path) -> None:
    lines = (artifacts / "requirements.txt").read_text().split()
    for package in ("torch", "torchvision", "timm", "pillow", "numpy", "safetensors"):
        assert f"{package}=={version(package)}" in lines


def test_the_requirements_name_thaw_by_its_name_on_pypi(artifacts: Path) -> None:
    # On PyPI, "thaw" is another project.
    lines = (artifacts / "requirements.txt").read_text().split()
    assert [line for line in lines if "thaw" in line] == [f"thaw-vision=={__version__}"]

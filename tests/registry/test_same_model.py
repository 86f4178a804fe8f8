from __future__ import annotations

from typing import TYPE_CHECKING

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tests.registry.served import image, model_directory
from thaw.config.params import Params
from thaw.registry.names import CHALLENGER, CHAMPION
from thaw.registry.register import ModelRecord, Registered, register
from thaw.registry.same_model import SAME_AS, find_same
from thaw.tracking.run_identity import DIRTY
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Registry:
    """A registry with one model directory, registered under any digests."""

    def __init__(self, folder: Path) -> None:
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.client, self.experiment = connect(Params().tracking.model_copy(update={"uri": uri}))
        self.folder = folder / "model"
        self.digest = model_directory(self.folder).digest

    def first(self, name: str, content: str) -> None:
        """Register the champion, whose digest is checked."""
        self.register(name, facts(self.digest, content))

    def register(self, name: str, record: ModelRecord, dirty: str = "false") -> Registered:
        with mlflow.start_run(experiment_id=self.experiment, tags={DIRTY: dirty}):
            return register(name, self.folder, record, image())

    def find(self, name: str, record: ModelRecord, dirty: str = "false") -> Registered | None:
        with mlflow.start_run(experiment_id=self.experiment, tags={DIRTY: dirty}) as run:
            found = find_same(name, record)
        data = MlflowClient().get_run(run.info.run_id).data
        assert data.tags.get(SAME_AS) == (f"models:/{name}/{found.version}" if found else None)
        assert data.metrics == ({"test/accuracy": 0.5} if found else {})
        return found


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it itself
        yield Registry(tmp_path_factory.mktemp("registry"))
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


def facts(digest: str, content: str, test: str = "t") -> ModelRecord:
    return ModelRecord(digest, {"accuracy": 0.5}, test_digest=test, content=content)


@pytest.mark.slow
def test_a_model_with_the_content_of_the_champion_is_the_champion(registry: Registry) -> None:
    registry.first("equal", "c1")
    registry.register("equal", facts("d2", "c2"))
    found = registry.find("equal", facts("other parents", "c1"), dirty="true")
    assert found == Registered("equal", 1, CHAMPION, is_new=False)
    assert registry.client.get_registered_model("equal").aliases == {CHAMPION: 1, CHALLENGER: 2}


@pytest.mark.slow
def test_an_earlier_version_with_the_same_content_is_the_challenger_again(
    registry: Registry,
) -> None:
    registry.first("earlier", "c1")
    for number in range(2, 4):
        registry.register("earlier", facts(f"d{number}", f"c{number}"))
    found = registry.find("earlier", facts("d", "c2"))
    assert found == Registered("earlier", 2, CHALLENGER, is_new=False)
    assert registry.client.get_registered_model("earlier").aliases == {CHAMPION: 1, CHALLENGER: 2}


@pytest.mark.slow
@pytest.mark.parametrize(
    "record", [facts("d", "other"), facts("d", "c1", test="other images"), facts("", "")]
)
def test_another_model_or_other_test_images_are_a_new_version(
    record: ModelRecord, registry: Registry
) -> None:
    name = f"new-{record.content}-{record.test_digest}"
    assert registry.find(name, record) is None
    registry.first(name, "c1")
    assert registry.find(name, record) is None


def test_a_version_without_the_digest_of_its_content_is_known_by_that_of_its_files(
    registry: Registry,
) -> None:
    registry.first("older", "")
    found = registry.find("older", facts(registry.digest, "c1"))
    assert found == Registered("older", 1, CHAMPION, is_new=False)
    assert registry.find("older", facts("d2", "")) is None


@pytest.mark.slow
def test_a_committed_run_does_not_take_the_version_of_one_that_was_not(registry: Registry) -> None:
    registry.first("clean", "c1")
    registry.register("clean", facts("d2", "c2"), dirty="true")
    assert registry.find("clean", facts("d", "c2")) is None
    again = registry.find("clean", facts("d", "c2"), dirty="true")
    assert again == Registered("clean", 2, CHALLENGER, is_new=False)


@pytest.mark.slow
def test_a_version_whose_run_was_deleted_is_not_taken(registry: Registry) -> None:
    registry.first("trashed", "c1")
    registry.register("trashed", facts("d2", "c2"))
    run_id = registry.client.get_model_version("trashed", "2").run_id
    assert run_id is not None
    registry.client.delete_run(run_id)
    assert registry.find("trashed", facts("d", "c2")) is None
    registry.client.restore_run(run_id)
    again = Registered("trashed", 2, CHALLENGER, is_new=False)
    assert registry.find("trashed", facts("d", "c2")) == again


def test_a_version_of_the_same_run_is_left_to_the_registration(registry: Registry) -> None:
    record = facts(registry.digest, "c1")
    with mlflow.start_run(experiment_id=registry.experiment):
        register("own", registry.folder, record, image())
        assert find_same("own", record) is None


def test_scores_that_a_killed_attempt_logged_are_not_logged_again(registry: Registry) -> None:
    registry.first("again", "c1")
    with mlflow.start_run(experiment_id=registry.experiment, tags={DIRTY: "true"}) as run:
        for _ in range(2):
            assert find_same("again", facts("d", "c1"))
    history = registry.client.get_metric_history(run.info.run_id, "test/accuracy")
    assert [point.value for point in history] == [0.5]

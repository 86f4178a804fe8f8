from __future__ import annotations

import os
import shutil
import threading
import time
from typing import TYPE_CHECKING, Any

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException

from tests.registry.served import CLASSES, image, model_directory, overflowing
from tests.serving.service import PNG, metric, post, running, wait_for
from thaw.errors import ThawError
from thaw.model import directory
from thaw.model.predictor import Predictor
from thaw.model.sealed_files import SPEC
from thaw.serving import model_reloading
from thaw.serving.model_uri import resolve_version
from thaw.serving.served_model import ServedModel, load_served_model

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.serving.settings import Settings

GOOD = image()


def replace(model: Path, other: Path) -> None:
    """Replace the model directory ``model`` by ``other``, as an alias that moves."""
    for name in (directory.WEIGHTS, SPEC):
        shutil.copy(other / name, model / f"{name}.new")
    for name in (directory.WEIGHTS, SPEC):
        (model / f"{name}.new").rename(model / name)


@pytest.mark.slow
def test_a_new_model_replaces_the_old_one_and_every_request_is_answered(tmp_path: Path) -> None:
    live, other = tmp_path / "live", tmp_path / "other"
    digests = [model_directory(live, seed=0).digest, model_directory(other, seed=1).digest]
    expected = {
        digest: Predictor(folder).probabilities([GOOD]).tolist()[0]
        for digest, folder in zip(digests, (live, other), strict=True)
    }
    answers: list[tuple[int, dict[str, Any]]] = []
    stop = threading.Event()

    def send_requests(url: str) -> None:
        session = requests.Session()
        while not stop.is_set():
            answer = session.post(f"{url}/predict", data=GOOD, headers=PNG, timeout=60)
            answers.append((answer.status_code, answer.json()))

    with running(str(live)) as url:
        threads = [threading.Thread(target=send_requests, args=(url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        while not answers:
            time.sleep(0.01)
        replace(live, other)
        end = time.monotonic() + 20
        while answers[-1][1].get("digest") != digests[1] and time.monotonic() < end:
            time.sleep(0.01)
        stop.set()
        for thread in threads:
            thread.join()
        assert metric(url, "thaw_reloads_total") == 1
    assert {status for status, _ in answers} == {200}
    assert {answer["digest"] for _, answer in answers} == set(digests)
    for _, answer in answers:  # each answer was computed by the model that it names
        given = list(answer["predictions"][0]["probabilities"].values())
        assert given == pytest.approx(expected[answer["digest"]], abs=1e-5)


def test_a_model_that_cannot_be_loaded_changes_nothing(tmp_path: Path) -> None:
    model_directory(tmp_path / "live")
    with running(str(tmp_path / "live")) as url:
        spec = tmp_path / "live" / SPEC
        spec.write_text(spec.read_text().replace("cat", "dog"))
        wait_for(url, "thaw_reload_failures_total", 1)
        assert post(url, data=GOOD, headers=PNG).status_code == 200
        assert requests.get(f"{url}/healthz", timeout=60).json()["classes"] == CLASSES


def test_a_model_that_answers_no_image_does_not_replace_one_that_does(tmp_path: Path) -> None:
    model_directory(tmp_path / "live")
    broken = overflowing(tmp_path / "live", tmp_path / "broken")
    with running(str(tmp_path / "live")) as url:
        replace(tmp_path / "live", broken)
        wait_for(url, "thaw_reload_failures_total", 1)
        assert metric(url, "thaw_reloads_total") == 0
        assert post(url, data=GOOD, headers=PNG).status_code == 200


@pytest.mark.slow
def test_the_service_follows_the_alias_and_answers_without_the_registry(
    registry: list[str],
) -> None:
    client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    with running("models:/dev@champion") as url:
        first = post(url, data=GOOD, headers=PNG).json()
        assert (first["model"], first["digest"]) == ("models:/dev/1", registry[0])
        client.set_registered_model_alias("dev", "champion", "2")
        wait_for(url, "thaw_reloads_total", 1)
        second = post(url, data=GOOD, headers=PNG).json()
        assert (second["model"], second["digest"]) == ("models:/dev/2", registry[1])
        client.delete_registered_model_alias("dev", "champion")
        wait_for(url, "thaw_reload_failures_total", 1)
        assert requests.get(f"{url}/healthz", timeout=60).json()["model"] == "models:/dev/2"


class Loads:
    """Loads models, except version 2. ``fetched`` and ``named`` are what was loaded and polled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cause: Exception | None = None) -> None:
        self.cause, self.fetched, self.named = cause, list[str](), list[str]()
        self._resolve = resolve_version
        monkeypatch.setattr(model_reloading, "load_served_model", self.load)
        monkeypatch.setattr(model_reloading, "resolve_version", self.resolve)

    def load(self, uri: str, settings: Settings) -> ServedModel:
        self.fetched.append(uri)
        if uri == "models:/dev/2":
            raise ThawError(f"{uri} cannot be loaded") from self.cause
        return load_served_model(uri, settings)

    def resolve(self, uri: str) -> str:
        self.named.append(self._resolve(uri))
        return self.named[-1]

    def wait_until_polled(self, uri: str) -> None:
        count, end = len(self.named), time.monotonic() + 20
        while uri not in self.named[count:] and time.monotonic() < end:
            time.sleep(0.01)


@pytest.mark.slow
def test_a_broken_version_is_fetched_once_until_the_alias_moves(
    registry: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    loads = Loads(monkeypatch)
    with running("models:/dev@champion") as url:
        client.set_registered_model_alias("dev", "champion", "2")
        wait_for(url, "thaw_reload_failures_total", 4)  # the service still says so at each poll
        assert loads.fetched == ["models:/dev/2"]
        client.set_registered_model_alias("dev", "champion", "1")
        loads.wait_until_polled("models:/dev/1")
        client.set_registered_model_alias("dev", "champion", "2")
        failures = metric(url, "thaw_reload_failures_total")
        wait_for(url, "thaw_reload_failures_total", failures + 2)
        assert loads.fetched == ["models:/dev/2"] * 2
        assert post(url, data=GOOD, headers=PNG).json()["digest"] == registry[0]


@pytest.mark.parametrize("why", ["the store failed", "an hour has passed"])
@pytest.mark.usefixtures("registry")
def test_a_version_that_may_be_whole_now_is_fetched_again(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    loads = Loads(monkeypatch, MlflowException(why) if why == "the store failed" else None)
    if why == "an hour has passed":
        monkeypatch.setattr(model_reloading, "_REMEMBERED", 0.0)
    with running("models:/dev@champion") as url:
        client.set_registered_model_alias("dev", "champion", "2")
        wait_for(url, "thaw_reload_failures_total", 3)
        assert loads.fetched[:3] == ["models:/dev/2"] * 3


def test_the_service_ends_while_the_registry_does_not_answer(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def resolve(_: str) -> str:
        asked.set()
        answered.wait(20)
        return ""

    with running(str(model)):
        monkeypatch.setattr(model_reloading, "resolve_version", resolve)
        assert asked.wait(20)
        started = time.monotonic()
    assert time.monotonic() - started < 10
    answered.set()

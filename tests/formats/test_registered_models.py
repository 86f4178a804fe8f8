"""Registered models of format 2 predict, are served, are promoted, and start a new training."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pytest
import requests
import torch

from tests import settings, store_fixtures
from tests.formats.images import images
from tests.serving.service import running
from thaw.data import manifest
from thaw.data.manifest import Row
from thaw.data.pack_writer import PackWriter
from thaw.data.prepared import Prepared
from thaw.model import directory
from thaw.model.predictor import Predictor
from thaw.model.spec import FORMAT
from thaw.promotion.promote import PromotionRequest, promote
from thaw.registry.aliases import aliases
from thaw.registry.ledger import Ledger
from thaw.registry.register import ModelRecord, register
from thaw.registry.starting_model import begin, parent_of
from thaw.serving.model_uri import local_model
from thaw.system import dvc_lock, provenance
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from thaw.config.params import Params

_mlflow_as_it_was = store_fixtures._mlflow_as_it_was

MODELS = Path(__file__).parent / "2"
NAME = "old"
CLASSES = ["blue", "green", "red"]
EXPECTED = json.loads((MODELS / "expected.json").read_text())["one_tap_merged"]
IMAGES = 60
LOCK = "stages:\n  prepare:\n    outs:\n    - {{path: prepared, hash: md5, md5: {}}}\n"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data of three classes, which the models tell apart, all of it test images."""
    folder = tmp_path_factory.mktemp("project") / "prepared"
    folder.mkdir()
    generator = np.random.default_rng(0)
    with PackWriter(folder, settings.prepare(encoding="raw", short_side=32)) as store:
        for number in range(IMAGES):
            pixels = generator.integers(0, 120, (32, 32, 3))
            pixels[..., number % 3] += 100
            store.add(pixels.astype(np.uint8))
    splits = ["test"] * IMAGES
    manifest.write(
        [Row(n, f"{n}.png", "", CLASSES[(n + 2) % 3], splits[n], 32, 32) for n in range(IMAGES)],
        folder,
    )
    (folder.parent / "dvc.lock").write_text(LOCK.format(dvc_lock.folder_md5(folder)))
    return folder


@pytest.fixture(scope="module")
def params(prepared: Path) -> Params:
    uri = f"sqlite:///{prepared.parent / 'mlruns/mlflow.db'}"
    tracking = settings.PARAMS.tracking.model_copy(update={"uri": uri})
    start = {"name": "timm/test_efficientnet", "weights": f"models:/{NAME}/1", "image_size": 32}
    backbone = settings.PARAMS.backbone.model_copy(update=start)
    return settings.PARAMS.model_copy(update={"tracking": tracking, "backbone": backbone})


@pytest.fixture(scope="module")
def client(params: Params, prepared: Path) -> MlflowClient:
    """The registry with two versions: one tapped block, and several tapped blocks."""
    client, experiment = connect(params.tracking)
    data = Prepared(prepared)
    tags = {
        "mlflow.source.git.commit": "c" * 40,
        "thaw.git_dirty": "false",
        "thaw.data_digest": data.manifest.digest,
        "thaw.dvc_lock": str(provenance.lock_digest(prepared.parent / "dvc.lock")),
    }
    for name in ("one_tap_merged", "several_taps_merged"):
        digest = json.loads((MODELS / name / "model.json").read_text())["digest"]
        with mlflow.start_run(experiment_id=experiment, tags=tags):
            scores = {"accuracy": 0.9}
            test = data.split_digest("test")
            record = ModelRecord(digest, scores, "backbone", test)
            register(NAME, MODELS / name, record, images()[0])
    return client


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_a_registered_model_of_format_2_predicts_what_it_did(params: Params) -> None:
    with local_model(f"models:/{NAME}/1", params.tracking) as found:
        probabilities = Predictor(found.folder).probabilities(images())
    torch.testing.assert_close(
        probabilities.double(), torch.tensor(EXPECTED).double(), atol=1e-4, rtol=0
    )


@pytest.mark.usefixtures("client")
def test_a_registered_model_of_format_2_is_served(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", params.tracking.uri)
    monkeypatch.chdir(MODELS)  # not the folder of a project
    with running(f"models:/{NAME}/1") as url:
        answer = requests.post(
            f"{url}/predict", data=images()[0], headers={"Content-Type": "image/png"}, timeout=30
        )
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["predictions"]
    assert prediction["label"] == CLASSES[int(np.argmax(EXPECTED[0]))]


@pytest.mark.slow
def test_a_registered_model_of_format_2_is_compared_and_promoted(
    params: Params, prepared: Path, client: MlflowClient
) -> None:
    with contextlib.chdir(prepared.parent):  # the folder of dvc.lock
        request = PromotionRequest(NAME, "champion", version=2, force=True, reason="a test")
        found = promote(params, prepared, request)
    assert found.metrics
    assert aliases(client, NAME)["champion"] == 2
    assert [row.decision.kind for row in Ledger(client, NAME).rows()] == ["first", "promotion"]


@pytest.mark.usefixtures("client")
def test_a_new_training_starts_from_a_registered_model_of_format_2(
    params: Params, prepared: Path
) -> None:
    head = params.head.model_copy(update={"taps": []})
    classifier, spec = begin(params, head, Prepared(prepared), parent_of(params))
    old, old_spec = directory.load(MODELS / "one_tap_merged")
    assert spec.parents[-1].digest == old_spec.digest
    assert (spec.format, spec.merged) == (FORMAT, old_spec.merged)
    inputs = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = classifier.part(0, len(classifier.blocks))(inputs)
        torch.testing.assert_close(found, old.part(0, len(old.blocks))(inputs))

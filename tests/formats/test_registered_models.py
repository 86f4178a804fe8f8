"""Registered models of format 2 predict, are served, are promoted, and start a new training.

They are one tapped block, merged and in affine form, several tapped blocks, and a transformer.
"""

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
from tests.serving.service import PNG, running
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
EXPECTED = json.loads((MODELS / "expected.json").read_text())
FIRST = "one_tap_original"  # the champion, until another version is promoted
# The version of each model by its name.
VERSIONS = {
    name: number
    for number, name in enumerate(
        [FIRST, "one_tap_merged", "one_tap_affine", "several_taps_merged", "vit_merged"], start=1
    )
}
each_model = pytest.mark.parametrize("model", [name for name in VERSIONS if name != FIRST])
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
    return settings.PARAMS.model_copy(update={"tracking": tracking})


@pytest.fixture(scope="module")
def client(params: Params, prepared: Path) -> MlflowClient:
    """The registry with all models as versions of one name."""
    client, experiment = connect(params.tracking)
    data = Prepared(prepared)
    tags = {
        "mlflow.source.git.commit": "c" * 40,
        "thaw.git_dirty": "false",
        "thaw.data_digest": data.manifest.digest,
        "thaw.dvc_lock": str(provenance.lock_digest(prepared.parent / "dvc.lock")),
    }
    for model, version in VERSIONS.items():
        digest = json.loads((MODELS / model / "model.json").read_text())["digest"]
        with mlflow.start_run(experiment_id=experiment, tags=tags):
            record = ModelRecord(digest, {"accuracy": 0.9}, "backbone", data.split_digest("test"))
            assert register(NAME, MODELS / model, record, images()[0]).version == version
    return client


@pytest.mark.slow
@pytest.mark.usefixtures("client")
@each_model
def test_a_registered_model_of_format_2_predicts_what_it_did(model: str, params: Params) -> None:
    with local_model(f"models:/{NAME}/{VERSIONS[model]}", params.tracking) as found:
        probabilities = Predictor(found.folder).probabilities(images())
    expected = torch.tensor(EXPECTED[model]).double()
    torch.testing.assert_close(probabilities.double(), expected, atol=1e-4, rtol=0)


@pytest.mark.usefixtures("client")
@each_model
def test_a_registered_model_of_format_2_is_served(
    model: str, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", params.tracking.uri)
    monkeypatch.chdir(MODELS)  # not the folder of a project
    with running(f"models:/{NAME}/{VERSIONS[model]}") as url:
        answer = requests.post(f"{url}/predict", data=images()[0], headers=PNG, timeout=30)
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["predictions"]
    found = [prediction["probabilities"][label] for label in CLASSES]
    assert found == pytest.approx(EXPECTED[model][0], abs=1e-4)


@pytest.mark.slow
@each_model
def test_a_registered_model_of_format_2_is_compared_and_promoted(
    model: str, params: Params, prepared: Path, client: MlflowClient
) -> None:
    version = VERSIONS[model]
    with contextlib.chdir(prepared.parent):  # the folder of dvc.lock
        request = PromotionRequest(NAME, "champion", version=version, force=True, reason="a test")
        found = promote(params, prepared, request)
    assert found.metrics
    assert aliases(client, NAME)["champion"] == version
    first, *_, last = (row.decision for row in Ledger(client, NAME).rows())
    assert (first.kind, last.kind, last.to) == ("first", "promotion", version)


@pytest.mark.usefixtures("client")
@each_model
def test_a_new_training_starts_from_a_registered_model_of_format_2(
    model: str, params: Params, prepared: Path
) -> None:
    old, old_spec = directory.load(MODELS / model)
    side = old_spec.preprocessing.image_size
    start = {
        "name": old_spec.backbone,
        "weights": f"models:/{NAME}/{VERSIONS[model]}",
        "image_size": side,
    }
    backbone = params.backbone.model_copy(update=start)
    params = params.model_copy(update={"backbone": backbone})
    head = params.head.model_copy(update={"taps": list(old_spec.head.taps)})
    classifier, spec = begin(params, head, Prepared(prepared), parent_of(params))
    assert spec.parents[-1].digest == old_spec.digest
    folded = [name for name in old_spec.folded if name.startswith("blocks.")]  # the head is new
    assert (spec.format, spec.folded, spec.merged) == (FORMAT, folded, old_spec.merged)
    inputs = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = classifier.part(0, len(classifier.blocks))(inputs)
        torch.testing.assert_close(found, old.part(0, len(old.blocks))(inputs))

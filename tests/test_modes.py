"""Run all stages in each mode of docs/method.md, with small images and a small network."""

from __future__ import annotations

import json
import shutil
from contextlib import chdir
from typing import TYPE_CHECKING, Any

import pytest
import torch
from mlflow.tracking import MlflowClient

from tests import tiny
from tests.project import ROOT
from thaw.config.editing import write_values
from thaw.errors import ThawError
from thaw.model import directory
from thaw.stages import evaluate, fold_bn, prepare, unfreeze, warmup_head

if TYPE_CHECKING:
    from pathlib import Path

SMALL: dict[str, Any] = {
    "data.source": "folder",
    "data.path": "images",
    "prepare.short_side": 32,
    "backbone.name": "timm/test_efficientnet",
    "backbone.weights": "none",
    "backbone.image_size": 32,
    "warmup_head.epochs": 2,
    "unfreeze.depth": 2,
    "unfreeze.epochs": 2,
    "unfreeze.batch_size": 8,
    "fold_bn.epochs": 1,
    "fold_bn.tolerance": 0.01,
    "launch.threads": 1,
}
FEATURES = {"unfreeze.depth": 0, "unfreeze.epochs": 0, "fold_bn.epochs": 0}
EVERYTHING_ON = {
    "augment.crop": 0.3,
    "augment.flip": 0.5,
    "augment.saturation": 0.2,
    "augment.hue": 0.1,
    "augment.randaugment": 1,
    "augment.noise": 0.02,
    "augment.mixup": 0.2,
    "augment.cutmix": 1.0,
    "regularize.label_smoothing": 0.1,
    "regularize.l1": 1e-5,
    "regularize.l2_sp": 0.01,
    "regularize.gradient_noise": 1e-5,
    "regularize.ema": 0.9,
    "regularize.class_weights": "balanced",
    "unfreeze.optimizer": "sgd",
    "warmup_head.optimizer": "lamb",
    "head.hidden": [16],
    "head.norm": "batch",
    "head.activation": "gelu",
    "head.dropout": 0.2,
    "unfreeze.lr_decay": 0.8,
    "evaluate.tta_views": 2,
}
MODES: dict[str, dict[str, Any]] = {
    "late features, logistic": {**FEATURES, "warmup_head.fit": "logistic"},
    "late features, svm": {**FEATURES, "warmup_head.fit": "svm"},
    "early features": {**FEATURES, "warmup_head.fit": "logistic", "head.taps": [3]},
    "features of several depths": {"warmup_head.fit": "logistic", "head.taps": [2, 4, 7]},
    "head only": {"unfreeze.depth": 0},
    "high-level only": {"unfreeze.depth": 3},
    "everything": {"unfreeze.depth": 7},
    "gradual": {"unfreeze.depth": 2, "unfreeze.gradual_epochs": 1},
    "surgical": {"unfreeze.blocks": [1, 3], "unfreeze.batch_norm": "frozen"},
    "auto": {"unfreeze.depth": "auto", "unfreeze.batch_norm": "auto"},
    "affine": {"unfreeze.batch_norm": "affine"},
    "fixed, recalibrated": {"unfreeze.batch_norm": "fixed", "fold_bn.recalibrate": True},
    "gabor, layer by layer": {"backbone.gabor": True, "backbone.layerwise_epochs": 1},
    "lenet5": {"backbone.name": "lenet5", "unfreeze.depth": 4, "backbone.init": "glorot"},
    "everything on": EVERYTHING_ON,
}
# The modes that the suite trains; `make test-pipelines` does so with all others.
SAMPLE = {"late features, logistic", "auto", "affine", "everything on"}
# The modes whose model is evaluated, too; the soak does so with all others.
REGISTERED = {"early features", "everything on"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, store: str) -> Path:
    """A project whose stage prepare has run on 36 images of three classes."""
    folder = tmp_path_factory.mktemp("prepared")
    tiny.images(folder / "images", size=32)
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (folder / "data" / "raw").mkdir(parents=True)
    with chdir(folder):
        write_values({**SMALL, "tracking.uri": store})
        prepare.main()
    return folder


@pytest.fixture
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the prepared project, which is entered."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train() -> None:
    """Run the stages between prepare and evaluate in the order of DVC."""
    for stage in (warmup_head, unfreeze, fold_bn):
        stage.main()


def repro() -> dict[str, Any]:
    """Run the stages after prepare in the order of DVC and return what was registered."""
    train()
    evaluate.main()
    return json.loads(read("reports/evaluate/registered.json"))  # type: ignore[no-any-return]


def read(path: str) -> str:
    from pathlib import Path

    return Path(path).read_text()


def report(stage: str) -> dict[str, Any]:
    return json.loads(read(f"reports/{stage}/report.json"))  # type: ignore[no-any-return]


def set_mode(mode: str) -> None:
    write_values({**MODES[mode], "tracking.registered_model": mode.replace(",", "")})


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode",
    [pytest.param(mode, marks=[] if mode in SAMPLE else pytest.mark.pipelines) for mode in MODES],
)
def test_a_mode_trains_a_model(project: Path, mode: str) -> None:
    set_mode(mode)
    train()
    classifier, spec = directory.load(project / "models/fold_bn/merged")
    with torch.no_grad():
        logits = classifier(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()
    assert (project / "reports/unfreeze/augmented.png").stat().st_size > 1000
    if "early" in mode:
        assert spec.blocks == 3
    if mode in REGISTERED:
        check_registration(mode)


@pytest.mark.soak
@pytest.mark.parametrize("mode", sorted(MODES.keys() - REGISTERED))
def test_a_mode_ends_with_a_registered_model(project: Path, mode: str) -> None:
    set_mode(mode)
    train()
    check_registration(mode)


def check_registration(mode: str) -> None:
    evaluate.main()
    assert json.loads(read("reports/evaluate/registered.json"))["version"] == 1
    scores = json.loads(read("reports/evaluate/metrics.json"))
    assert 0 <= scores["test"]["accuracy"] <= 1
    details = json.loads(read("reports/evaluate/report.json"))
    assert ("tta" in details) is (mode == "everything on")


@pytest.mark.slow
def test_only_the_blocks_of_a_surgical_mode_change(project: Path) -> None:
    write_values({**MODES["surgical"], "fold_bn.epochs": 0, "regularize.clip_norm": 100.0})
    train()
    before, _ = directory.load(project / "models/warmup_head")
    after, spec = directory.load(project / "models/unfreeze")
    moved = {
        index + 1
        for index, (old, new) in enumerate(zip(before.blocks, after.blocks, strict=True))
        for name, value in old.state_dict().items()
        if not torch.equal(value, new.state_dict()[name])
    }
    if report("unfreeze")["warmup_head_stands"]:
        assert moved == set()
    else:
        assert moved == {1, 3}
    assert spec.trained == [1, 3]


@pytest.mark.pipelines
def test_a_model_trained_from_a_registered_model_names_all_its_parents(
    project: Path, store: str
) -> None:
    write_values({"tracking.registered_model": "intermediate"})
    first = repro()
    write_values(
        {
            "backbone.weights": "models:/intermediate@champion",
            "tracking.registered_model": "target",
            "seed": 1,
        }
    )
    second = repro()
    _, spec = directory.load(project / "models/fold_bn/merged")
    stages = [parent.stage for parent in spec.parents]
    own = ["warmup_head", "unfreeze"]
    assert stages == ["backbone", *own, "models:/intermediate/1", *own]
    client = MlflowClient(store)
    version = client.get_model_version("target", second["version"])
    line = client.get_run(second["run_id"]).data.tags["thaw.parents"]
    assert version.tags["thaw.parents"] == line == spec.lineage
    assert "models:/intermediate/1" in line
    assert first["run_id"] != second["run_id"]


@pytest.mark.slow
def test_an_automatic_depth_unfreezes_only_blocks_below_the_last_tap(project: Path) -> None:
    write_values({"head.taps": [2, 4], "warmup_head.fit": "logistic", "unfreeze.depth": "auto"})
    train()
    assert set(report("unfreeze")["blocks"]) <= {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"head.taps": [9]}, r"head\.taps: 9 is beyond the backbone's 7 blocks"),
        ({"warmup_head.fit": "svm", "head.hidden": [4]}, r"warmup_head\.fit: svm fits one linear"),
        ({"backbone.weights": "models:/nothing@champion"}, "models:/nothing@champion"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(
    project: Path, values: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ThawError, match=reason):  # noqa: PT012  (either of them refuses it)
        write_values(values)  # refuses what is wrong without the data
        warmup_head.main()

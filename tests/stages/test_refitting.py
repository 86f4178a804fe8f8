from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.advice import project as small
from thaw.advice.tournament.stage_choices import HeadMethod
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.context import open_context
from thaw.model import directory
from thaw.model.calibration import Calibration
from thaw.stages import fold_bn, refitting, unfreeze, warmup_head
from thaw.stages.refitting import is_refitted, refit
from thaw.training.linear_paths import path
from thaw.training.runtime import logits

HEAD = HeadMethod("logistic", 0.01, is_compared=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make(tmp_path_factory.mktemp("refit"))


@pytest.fixture(autouse=True)
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the tiny project as the working directory."""
    torch.set_num_threads(1)
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")


@pytest.mark.parametrize(
    ("wanted", "is_compared", "head_only", "fit", "expected"),
    [
        ("auto", True, True, "logistic", True),
        ("auto", False, True, "logistic", False),
        ("on", False, True, "svm", True),
        ("off", True, True, "logistic", False),
        ("on", True, False, "logistic", False),
        ("on", True, True, "gradient", False),
    ],
)
def test_a_linear_head_is_fitted_again_where_no_block_trains(
    wanted: str, is_compared: bool, head_only: bool, fit: str, expected: bool
) -> None:
    settings = Params().unfreeze.model_copy(update={"refit": wanted})
    head = HeadMethod(fit, "auto", is_compared)  # type: ignore[arg-type]
    assert is_refitted(settings, head, head_only=head_only) == expected


def test_the_head_is_the_fit_to_training_and_validation_images() -> None:
    opened = small.open_model()
    spec, report = refit(opened.context, opened.classifier, opened.spec, HEAD)
    data, features = opened.context.data, []
    body = opened.classifier.part(0, small.BLOCKS)
    for split in ("train", "val"):
        source = data.images(split, spec.preprocessing)
        features.append(logits(opened.context.runtime, body, source, "test").numpy())
    ids = np.concatenate([data.manifest.ids("train"), data.manifest.ids("val")])
    (expected,) = path(
        "logistic", (np.concatenate(features), data.manifest.targets[ids]), [0.01], exact=True
    )
    layer = opened.classifier.head[-1]  # type: ignore[index]
    assert layer.weight.detach().numpy() == pytest.approx(expected.weight, rel=0.02, abs=1e-3)
    assert report["refit"]["images"] == len(ids)
    assert report["refit"]["strength"] == 0.01


def test_the_scores_are_those_of_images_that_the_head_was_not_fitted_to() -> None:
    opened = small.open_model()
    data = opened.context.data
    # With random labels a head knows the images that it was fitted to, and no others.
    data.manifest.targets[:] = np.random.default_rng(0).permutation(data.manifest.targets)
    _, report = refit(opened.context, opened.classifier, opened.spec, HeadMethod("svm", 1.0, True))
    assert report["refit"]["out_of_fold_accuracy"] < 0.7
    val = data.images("val", opened.spec.preprocessing)
    seen = logits(opened.context.runtime, opened.classifier, val, "test").argmax(1).numpy()
    assert np.mean(seen == val.targets) == 1.0
    assert report["calibration"]["log_loss"]["none"] > 0.5


def test_a_head_that_cannot_be_fitted_again_keeps_its_calibration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = small.open_model()
    before = {name: value.clone() for name, value in opened.classifier.state_dict().items()}
    monkeypatch.setattr(refitting, "_MOST_IMAGES", 1)  # one image has no folds
    known = Calibration(scale=[0.5])
    spec, report = refit(opened.context, opened.classifier, opened.spec, HEAD, known)
    assert spec.calibration == known
    assert report == {"refit": None}
    assert "the head is kept" in capsys.readouterr().err
    for name, value in opened.classifier.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.slow
def test_the_pipeline_keeps_the_refitted_head_and_its_calibration() -> None:
    write_values(
        {
            "head.taps": "auto",
            "warmup_head.fit": "logistic",
            "unfreeze.depth": 0,
            "unfreeze.epochs": 0,
            "fold_bn.epochs": 0,
        }
    )
    for stage in (warmup_head, unfreeze, fold_bn):
        stage.main()
    report = json.loads(Path("reports/unfreeze/report.json").read_text())
    data = open_context(load(Params), small.PREPARED, single_process=True).data
    assert report["refit"]["images"] == sum(len(data.manifest.ids(s)) for s in ("train", "val"))
    first, spec = directory.load(Path("models/warmup_head"))
    refitted, after = directory.load(Path("models/unfreeze"))
    assert not torch.equal(first.head[-1].weight, refitted.head[-1].weight)  # type: ignore[index]
    assert after.calibration != spec.calibration
    assert directory.read_spec(Path("models/fold_bn/merged")).calibration == after.calibration

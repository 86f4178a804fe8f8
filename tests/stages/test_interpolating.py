from __future__ import annotations

import copy
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests import tiny
from tests.advice import project as small
from thaw.advice.auto_values import Resolved
from thaw.config.editing import write_values
from thaw.model.batchnorm import fold_blocks
from thaw.model.freeze_plan import last_blocks
from thaw.stages import prepare, unfreeze, warmup_head
from thaw.stages.interpolating import interpolate_if_better
from thaw.stages.unfreeze import phase_of
from thaw.system import project_paths
from thaw.training.observer import Observer

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.context import Context, Phase
    from thaw.literals import BatchNormPolicy
    from thaw.model.classifier import Classifier


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interpolating")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small.make(folder)
        shutil.rmtree("images")
        tiny.images(folder / "images", each=40, size=32)
        values = {"prepare.val_fraction": 0.4, "warmup_head.fit": "logistic"}
        write_values({**values, "unfreeze.depth": 1, "unfreeze.epochs": 1})
        prepare.main()
    return folder


@pytest.fixture(autouse=True)
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny project with 48 validation images, as the working directory."""
    torch.set_num_threads(1)
    monkeypatch.chdir(made)


def opened(policy: BatchNormPolicy) -> tuple[Context, Classifier, Phase]:
    """Return a classifier with a fitted head, and a phase that trains its last block."""
    found = small.open_model()
    context, classifier, preprocessing = found.context, found.classifier, found.spec.preprocessing
    warmup_head.run(context, classifier, preprocessing, Observer())
    plan = last_blocks(1, len(classifier.blocks), policy)
    return (
        context,
        classifier,
        phase_of(context, preprocessing, Resolved(context.params.unfreeze, plan, {})),
    )


def moved(classifier: Classifier, by: float) -> Classifier:
    """Return a copy whose head is moved into a fixed random direction."""
    made = copy.deepcopy(classifier)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.head.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["frozen", "affine", "fixed"])
def test_weights_between_both_ends_are_taken_where_they_are_better(
    policy: BatchNormPolicy,
) -> None:
    context, middle, phase = opened(policy)
    warm, trained = moved(middle, -0.4), moved(middle, 0.4)
    if policy == "affine":
        fold_blocks(trained.blocks, phase.plan.trainable)
    report = interpolate_if_better(context, warm, trained, phase)["interpolation"]
    assert report["share"] == 0.5
    assert set(report["log_loss"]) == {"0.25", "0.5", "0.75", "1"}
    for name, value in middle.head.state_dict().items():
        torch.testing.assert_close(trained.head.state_dict()[name], value)


def test_trained_weights_that_are_better_stay_as_they_are() -> None:
    context, best, phase = opened("frozen")
    warm, trained = moved(best, -0.8), copy.deepcopy(best)
    report = interpolate_if_better(context, warm, trained, phase)["interpolation"]
    assert report["share"] == 1.0
    for name, value in best.state_dict().items():
        assert torch.equal(trained.state_dict()[name], value)


def test_nothing_is_tried_where_running_statistics_moved() -> None:
    context, middle, phase = opened("train")
    warm, trained = moved(middle, -0.4), moved(middle, 0.4)
    norm = next(m for m in trained.blocks[-1].modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert norm.running_mean is not None
    norm.running_mean += 0.1
    expected = {name: value.clone() for name, value in trained.state_dict().items()}
    assert interpolate_if_better(context, warm, trained, phase) == {}
    assert all(torch.equal(trained.state_dict()[name], expected[name]) for name in expected)


def unfreeze_report(**values: Any) -> dict[str, Any]:
    write_values({f"unfreeze.{key}": value for key, value in values.items()})
    unfreeze.main()
    path = project_paths.REPORTS / "unfreeze" / project_paths.REPORT
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.mark.slow
def test_the_stage_tries_it_unless_it_is_off() -> None:
    frozen = {"batch_norm": "frozen", "lr": 0.0001, "interpolate": "auto"}
    assert unfreeze_report(**frozen)["interpolation"]["share"] in {0.25, 0.5, 0.75, 1.0}
    assert "interpolation" not in unfreeze_report(interpolate="off")
    assert "interpolation" not in unfreeze_report(interpolate="auto", batch_norm="train")

from __future__ import annotations

import copy
import json
import math
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests import tiny
from tests.advice import project as small
from tests.stages.small import KEPT
from thaw.advice.tournament.comparison import Estimate
from thaw.advice.tournament.head_choice import HeadChoice
from thaw.advice.tournament.stage_choices import HeadMethod, write_head_choice
from thaw.advice.tournament.training_choice import TrainingChoice
from thaw.config.editing import write_values
from thaw.context import Phase, compute_inputs
from thaw.model import directory
from thaw.model.freeze_plan import last_blocks
from thaw.stages import prepare, unfreeze, warmup_head
from thaw.stages.fine_tuning_check import compare_with_head, needed_gain
from thaw.system import project_paths
from thaw.training.calibration import calibrated_losses
from thaw.training.logit_scaling import uncalibrated_losses
from thaw.training.observer import Observer
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.context import Context
    from thaw.model.classifier import Classifier
    from thaw.training.history import EpochRow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fine_tuning_check")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small.make(folder)
        shutil.rmtree("images")
        tiny.images(folder / "images", each=40, size=32)
        write_values({"prepare.val_fraction": 0.4, "warmup_head.fit": "logistic"})
        prepare.main()
        opened = small.open_model()
        warmup_head.run(opened.context, opened.classifier, opened.spec.preprocessing, Observer())
        directory.save(opened.classifier, opened.spec, project_paths.MODELS / "warmup_head")
        head = HeadMethod("logistic", 0.01, is_compared=True)
        write_head_choice(HeadChoice({}, []), head, project_paths.REPORTS / "warmup_head")
    return folder


@pytest.fixture(autouse=True)
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny project with a fitted head and 48 validation images, as the working directory."""
    torch.set_num_threads(1)
    monkeypatch.chdir(made)


def opened() -> tuple[Context, Classifier, Phase]:
    found = small.open_model()
    plan = last_blocks(1, len(found.classifier.blocks), "frozen")
    phase = Phase(plan, found.context.params.unfreeze, found.spec.preprocessing)
    return found.context, found.classifier, phase


def moved(classifier: Classifier, by: float, seed: int = 0) -> Classifier:
    """Return a copy whose head is moved into a random direction."""
    made = copy.deepcopy(classifier)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.head.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    return made


@pytest.mark.slow
def test_a_training_is_kept_where_it_is_clearly_better_and_dropped_where_it_is_worse() -> None:
    context, good, phase = opened()
    bad = moved(good, 3.0)
    kept, found = compare_with_head(context, bad, good, phase, needs_one_error=True)
    assert kept
    assert found["is_kept"]
    assert found["log_loss"] + found["difference_error"] < found["head_log_loss"]
    assert found["difference"] == pytest.approx(found["log_loss"] - found["head_log_loss"])
    for needed in (False, True):
        assert not compare_with_head(context, good, bad, phase, needs_one_error=needed)[0]


def test_a_head_that_is_worse_than_guessing_needs_no_difference_above_the_noise() -> None:
    write_values({"regularize.calibration": "off"})
    context, good, phase = opened()
    targets = context.data.manifest.targets
    ids = context.data.manifest.ids("val")
    targets[ids] = (targets[ids] + 1) % small.CLASSES  # the surer, the worse
    better = copy.deepcopy(good)
    with torch.no_grad():
        for parameter in better.head.parameters():
            parameter.mul_(0.95)
        parameter[0] += 2.0  # of the bias: a third of the images gains it, another third loses it
    kept, found = compare_with_head(context, good, better, phase, needs_one_error=True)
    assert found["head_log_loss"] > math.log(small.CLASSES)
    assert -found["difference_error"] < found["difference"] < 0
    assert kept


def test_a_head_that_keeps_no_temperature_is_compared_without_one() -> None:
    write_values({"regularize.calibration": "auto"})
    context, good, phase = opened()
    faint = copy.deepcopy(good)  # it ranks the classes of each image alike
    with torch.no_grad():
        for parameter in faint.head.parameters():
            parameter.mul_(0.5)
    val = compute_inputs(context, good, phase, trains=False).val
    plain, scaled = {}, {}
    for name, model in (("good", good), ("faint", faint)):
        part = model.part(phase.plan.cut)
        outputs = logits(context.runtime, part, val, "test").double().numpy()
        plain[name] = uncalibrated_losses(outputs, val.targets).mean()
        scaled[name] = calibrated_losses(outputs, val.targets).mean()
    assert plain["good"] < scaled["good"]  # so that it keeps no temperature
    assert scaled["faint"] < 0.99 * scaled["good"]
    kept, found = compare_with_head(context, good, faint, phase, needs_one_error=False)
    assert found["head_log_loss"] == pytest.approx(plain["good"])
    assert found["log_loss"] == pytest.approx(min(plain["faint"], scaled["faint"]))
    assert not kept


@pytest.mark.parametrize(
    ("difference", "strict", "lenient"),
    [
        (Estimate(-0.3, 0.1), True, True),
        (Estimate(-0.05, 0.1), False, True),
        (Estimate(0.05, 0.1), False, False),
        (Estimate(-0.3, float("inf")), False, True),
        (Estimate(-0.009, 0.001), False, False),
        (Estimate(-0.011, 0.001), True, True),
    ],
)
def test_a_gain_within_the_noise_counts_only_where_no_standard_error_is_needed(
    difference: Estimate, strict: bool, lenient: bool
) -> None:
    assert (-difference.mean > needed_gain(1.0, difference.standard_error)) == strict
    assert (-difference.mean > needed_gain(1.0, 0.0)) == lenient


@pytest.mark.slow
def test_one_standard_error_is_needed_only_where_it_is_asked_for() -> None:
    write_values({"regularize.calibration": "off"})
    context, good, phase = opened()
    decisions = set()
    for seed in range(9):  # the gains of some of them are within the noise
        worse = moved(good, 0.03, seed)
        for needed in (False, True):
            kept, found = compare_with_head(context, worse, good, phase, needs_one_error=needed)
            assert found["head_log_loss"] < math.log(small.CLASSES)
            error = found["difference_error"] if needed else 0.0
            assert kept == (-found["difference"] > max(0.01 * found["head_log_loss"], error))
            decisions.add((seed, needed, kept))
    assert any({(seed, False, True), (seed, True, False)} <= decisions for seed in range(9))


def stage(monkeypatch: pytest.MonkeyPatch, refit: str = "auto", **values: Any) -> dict[str, Any]:
    """Run the stage where a comparison has chosen ``values``; return its report."""
    chosen = {"depth": 7, "lr": 0.001, "batch_norm": "train", "epochs": 2, **values}
    choice = TrainingChoice("way", chosen, [])
    monkeypatch.setattr(unfreeze, "choose_training", lambda *_: choice)
    write_values({"unfreeze.depth": "auto", "regularize.calibration": "auto"})
    write_values({"unfreeze.refit": refit})
    unfreeze.main()
    path = project_paths.REPORTS / "unfreeze" / project_paths.REPORT
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.mark.slow
def test_a_dropped_training_leaves_the_head_alone_which_is_fitted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = stage(monkeypatch, lr=1e-9, batch_norm="frozen")
    assert not report["fine_tuning"]["is_kept"]
    assert report["warmup_head_stands"]
    assert (report["best_epoch"], report["blocks"], report["epochs"]) == (0, [], 2)
    assert report["refit"]["images"] == 102
    trained, warm = (
        directory.load(project_paths.MODELS / name)[0] for name in ("unfreeze", "warmup_head")
    )
    for name, value in warm.blocks.state_dict().items():
        assert torch.equal(trained.blocks.state_dict()[name], value)


def test_a_kept_training_is_the_model_of_its_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfreeze, "compare_with_head", lambda *_, **__: (True, KEPT))
    report = stage(monkeypatch, refit="off")
    assert not report["warmup_head_stands"]
    assert report["best_epoch"] in {1, 2}
    assert report["blocks"] == [1, 2, 3, 4, 5, 6, 7]
    assert "refit" not in report


@pytest.mark.slow
def test_a_training_on_trial_may_start_with_a_higher_loss_than_it_ends_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows: list[EpochRow] = []
    original = unfreeze.run

    def recorded(*given: Any) -> Any:
        progress = original(*given)
        rows.extend(progress.history)
        return replace(progress)

    monkeypatch.setattr(unfreeze, "run", recorded)
    report = stage(monkeypatch, lr=0.3, batch_norm="frozen")
    assert min(row.val_loss for row in rows[1:]) > rows[0].val_loss
    assert "fine_tuning" in report

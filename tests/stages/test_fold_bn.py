from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests import settings, tf32, tiny
from tests.stages import small
from thaw.context import Context
from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.model import batchnorm, directory
from thaw.stages import fold_bn
from thaw.stages.fold_bn import check_logits
from thaw.system import project_paths
from thaw.training.observer import Observer
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.training.runtime import Runtime

# Of an image. In 16 pixels, a depthwise convolution with a stride meets a map of one pixel, where a
# CPU's gradient in bfloat16 reads uninitialized memory (torch 2.14).
SIZE = 32
LOGITS = torch.tensor([[1.0, -4.0], [2.0, 0.5]])


def moved(by: float) -> torch.Tensor:
    other = LOGITS.clone()
    other[1, 1] += by
    return other


def test_a_move_within_the_tolerance_is_told_over_the_logits_scale() -> None:
    found = check_logits(LOGITS, moved(0.0078125), 0.002, "fold")
    assert found == {"fold_largest_move": 0.0078125, "fold_relative_move": 0.0078125 / 4}


@pytest.mark.parametrize("by", [0.01, -0.01, math.nan, math.inf])
def test_a_larger_move_is_refused_with_its_numbers(by: float) -> None:
    message = r"the merge changed a logit by .*fold_bn.tolerance = 0.002"
    with pytest.raises(ThawError, match=message):
        check_logits(LOGITS, moved(by), 0.002, "merge")


def test_logits_that_are_all_zero_may_not_change_at_all() -> None:
    zeros = torch.zeros(2, 2)
    assert check_logits(zeros, zeros, 0.001, "fold")["fold_relative_move"] == 0
    with pytest.raises(ThawError):
        check_logits(zeros, zeros + 0.002, 0.001, "fold")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the model of unfreeze, of which two blocks trained, and 30 images."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    small.save_model(project_paths.MODELS / "unfreeze", SIZE)
    small.prepare(["train", "val"])
    (project_paths.REPORTS / "fold_bn").mkdir(parents=True)
    classifier, spec = directory.load(project_paths.MODELS / "unfreeze")
    trained = [spec.blocks - 1, spec.blocks]
    directory.save(
        classifier,
        spec.after("warmup_head", classifier, trained),
        project_paths.MODELS / "unfreeze",
    )


def run_stage(runtime: Runtime) -> dict[str, Any]:
    """Run the stage with two epochs in this process and return its report."""
    return result_of_stage(runtime, epochs=2, recalibrate=True).report


def result_of_stage(runtime: Runtime, **changes: object) -> fold_bn.Result:
    params = settings.PARAMS.model_copy(
        update={
            "regularize": settings.regularize(),
            "augment": settings.augment(),
            "fold_bn": settings.PARAMS.fold_bn.model_copy(update=changes),
        }
    )
    context = Context(params, Prepared(project_paths.PREPARED), runtime)
    classifier, spec = directory.load(project_paths.MODELS / "unfreeze")
    return fold_bn.run(context, classifier, spec, params.augment.fixed(), Observer())


def changes_no_logit(report: dict[str, Any]) -> bool:
    """Return whether both checks are reported, with changes that float32 rounding explains."""
    moves = [report["fold_relative_move"], report["merge_relative_move"]]
    return bool(max(moves) <= 2e-5 and report["merged"] > 0)


def fold_moves_a_logit(runtime: Runtime) -> float:
    """Return the relative change of a logit if the fold runs in the precision of training."""
    classifier, spec = directory.load(project_paths.MODELS / "unfreeze")
    val = Prepared(project_paths.PREPARED).images("val", spec.preprocessing)
    before = logits(runtime, classifier, val, "")
    batchnorm.fold_all(classifier)
    example = torch.zeros(1, 3, SIZE, SIZE)
    batchnorm.merge(classifier, batchnorm.merge_pairs(classifier, example))
    after = logits(runtime, classifier, val, "")
    return float((after - before).abs().max() / before.abs().max())


@pytest.mark.slow
@pytest.mark.usefixtures("project")
def test_the_stage_proves_the_fold_and_the_merge_under_bf16() -> None:
    with tiny.bf16_runtime() as runtime:
        assert fold_moves_a_logit(runtime) > settings.PARAMS.fold_bn.tolerance
        assert changes_no_logit(run_stage(runtime))


@pytest.mark.slow
@pytest.mark.usefixtures("project")
def test_the_stage_proves_them_on_a_device_that_rounds_to_tf32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tf32.simulate(monkeypatch)
    assert fold_moves_a_logit(tiny.runtime()) > settings.PARAMS.fold_bn.tolerance
    assert changes_no_logit(run_stage(tiny.runtime()))


@pytest.mark.slow
@pytest.mark.usefixtures("project")
def test_the_recalibrated_loss_under_bf16_is_the_one_without_it() -> None:
    expected = run_stage(tiny.runtime())
    with tiny.bf16_runtime() as runtime:
        found = run_stage(runtime)
    for key in ("recalibration_kept", "recalibrated_val_loss"):
        assert found[key] == expected[key]


@pytest.mark.usefixtures("project")
def test_without_epochs_the_validation_images_are_not_computed_again_before_the_merge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes, checked = [], []

    def counted(*arguments: Any) -> torch.Tensor:
        passes.append(arguments[3])
        return logits(*arguments)

    def noted(before: torch.Tensor, *arguments: Any) -> dict[str, float]:
        checked.append(before)
        return check_logits(before, *arguments)

    monkeypatch.setattr(fold_bn, "logits", counted)
    monkeypatch.setattr(fold_bn, "check_logits", noted)
    result = result_of_stage(tiny.runtime(), epochs=0)
    assert passes == [
        "logits before the fold", "logits after the fold", "logits after the merge",
    ]  # fmt: skip
    classifier, spec = result.affine
    val = Prepared(project_paths.PREPARED).images("val", spec.preprocessing)
    assert torch.equal(checked[1], logits(tiny.runtime(), classifier.eval(), val, ""))

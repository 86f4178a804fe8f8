from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests import settings, tiny
from tests.stages import small
from thaw.context import Context
from thaw.data.prepared import Prepared
from thaw.model import directory
from thaw.stages.recalibrating_bn import recalibrate_if_better
from thaw.system import project_paths

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

MODEL = project_paths.MODELS / "unfreeze"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    small.save_model(MODEL)
    small.prepare(["train", "val"])


def recalibrated(times: int, *, recalibrate: bool = True) -> tuple[dict[str, Any], Tensor, Tensor]:
    """Return the last report, and a running variance before and after that call.

    The variances that the model starts with are a hundred times too small.
    """
    changed = settings.PARAMS.fold_bn.model_copy(update={"recalibrate": recalibrate})
    params = settings.PARAMS.model_copy(update={"fold_bn": changed})
    context = Context(params, Prepared(project_paths.PREPARED), tiny.runtime())
    classifier, spec = directory.load(MODEL)
    variances = [value for name, value in classifier.state_dict().items() if "running_var" in name]
    for variance in variances:
        variance /= 100
    val = context.data.images("val", spec.preprocessing)
    report: dict[str, Any] = {}
    before = variances[0].clone()
    for _ in range(times):
        before = variances[0].clone()
        report = recalibrate_if_better(context, classifier, spec, val)
    return report, before, variances[0]


def test_statistics_that_lower_the_validation_loss_are_kept() -> None:
    report, before, after = recalibrated(1)
    assert report["recalibration_kept"]
    assert not torch.allclose(before, after)


def test_statistics_that_do_not_lower_it_are_dropped() -> None:
    report, before, after = recalibrated(2)  # the second estimate is the same as the first one
    assert not report["recalibration_kept"]
    assert torch.equal(before, after)


def test_nothing_is_estimated_unless_it_is_on() -> None:
    report, before, after = recalibrated(1, recalibrate=False)
    assert report == {}
    assert torch.equal(before, after)

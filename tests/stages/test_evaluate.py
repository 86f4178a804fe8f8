from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests import calibrated, settings, tf32, tiny
from tests.project import ROOT
from tests.stages import small
from thaw.context import Context
from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.evaluation import plots
from thaw.model import directory
from thaw.stages import evaluate
from thaw.system import project_paths
from thaw.system.files import write_json
from thaw.system.stage_names import TRAINING_STAGES
from thaw.training import history

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.evaluation.scores import Result
    from thaw.training.runtime import Runtime

SEED = 4
SOME = {"flip": 0.5, "rotate": 20.0, "noise": 0.1}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a model, and 30 images of which every second is for testing."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    small.save_model(evaluate.MODEL)
    small.prepare(["test", "train"])
    for stage in TRAINING_STAGES:
        folder = project_paths.REPORTS / stage
        folder.mkdir(parents=True)
        history.write([history.EpochRow(0, None, 1.0, 0.5, 0.0)], folder / project_paths.HISTORY)


def scored(views: int, augment: dict[str, float], runtime: Runtime | None = None) -> Result:
    params = settings.PARAMS.model_copy(
        update={
            "seed": SEED,
            "augment": settings.augment(**augment),
            "evaluate": settings.PARAMS.evaluate.model_copy(update={"tta_views": views}),
        }
    )
    context = Context(params, Prepared(project_paths.PREPARED), runtime or tiny.runtime())
    return evaluate.run(context, *directory.load(evaluate.MODEL), params.augment.fixed())


def by_hand(epoch: int | None, **augment: float) -> NDArray[np.float64]:
    """Compute the probabilities of the test split with the augmentation of ``epoch``."""
    return np.asarray(logits_by_hand(epoch, **augment).softmax(dim=1))


def logits_by_hand(epoch: int | None, **augment: float) -> torch.Tensor:
    model, spec = directory.load(evaluate.MODEL)
    data = Prepared(project_paths.PREPARED)
    source = data.images("test", spec.preprocessing, SEED, settings.augment(**augment))
    places = np.arange(len(source))
    with torch.no_grad():
        outputs = model(source.finish(source.read(places), places, epoch))
    found: torch.Tensor = outputs.double()
    return found


def test_without_views_there_are_plain_scores_alone() -> None:
    result = scored(0, SOME)
    assert result.tta is None
    np.testing.assert_allclose(result.probabilities, by_hand(None), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(calibrated.BOTH))
def test_the_test_split_is_scored_with_and_without_the_calibration_of_the_model(kind: str) -> None:
    plain = scored(1, SOME)
    assert plain.uncalibrated is None
    calibration = calibrated.BOTH[kind]
    calibrated.save_calibrated(evaluate.MODEL, evaluate.MODEL, calibration)
    result = scored(1, SOME)
    expected = calibrated.mapped(logits_by_hand(None), calibration)
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-5)
    assert result.uncalibrated is not None
    assert result.uncalibrated.summary == plain.scores.summary
    view = calibrated.mapped(logits_by_hand(1, **SOME), calibration)
    mean = (expected + view) / 2
    assert result.tta is not None
    assert result.tta.summary["log_loss"] == pytest.approx(
        float(-mean[torch.arange(len(mean)), result.targets].log().mean()), abs=1e-4
    )
    evaluate.write(
        result,
        directory.read_spec(evaluate.MODEL),
        Prepared(project_paths.PREPARED),
        Path("reports"),
    )
    metrics = json.loads(Path("reports/report.json").read_text())
    assert metrics["test"]["log_loss"] == result.scores.summary["log_loss"]
    assert metrics["uncalibrated"]["log_loss"] == plain.scores.summary["log_loss"]


def test_the_scores_under_bf16_are_those_without_it() -> None:
    expected = scored(1, SOME)
    with tiny.bf16_runtime() as runtime:
        found = scored(1, SOME, runtime)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert found.scores.summary == expected.scores.summary
    assert found.tta is not None
    assert expected.tta is not None
    assert found.tta.summary == expected.tta.summary


def test_the_scores_on_a_device_that_rounds_to_tf32_are_those_of_a_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = scored(0, {})
    tf32.simulate(monkeypatch)
    np.testing.assert_array_equal(scored(0, {}).probabilities, expected.probabilities)


@pytest.mark.parametrize("views", [1, 3])
def test_views_are_averaged_with_the_plain_image(views: int) -> None:
    result = scored(views, SOME)
    np.testing.assert_allclose(result.probabilities, by_hand(None), atol=1e-5)
    assert result.scores.summary == scored(0, {}).scores.summary
    seen = [by_hand(epoch, **SOME) for epoch in (None, *range(1, views + 1))]
    likelihoods = np.mean(seen, axis=0)[np.arange(15), result.targets]
    assert result.tta is not None
    expected = -np.log(likelihoods).mean()
    assert result.tta.summary["log_loss"] == pytest.approx(expected, rel=1e-5)
    assert result.tta.summary["log_loss"] != pytest.approx(
        result.scores.summary["log_loss"], rel=1e-4
    )


def test_views_are_never_mixed_with_other_images() -> None:
    mixed, plain = (
        scored(2, {**SOME, **alphas}).tta for alphas in ({"mixup": 1.0, "cutmix": 1.0}, {})
    )
    assert mixed is not None
    assert plain is not None
    assert mixed.summary == plain.summary


@pytest.mark.slow
def test_both_scores_are_written_beside_each_other() -> None:
    data, spec = Prepared(project_paths.PREPARED), directory.read_spec(evaluate.MODEL)
    result = scored(2, SOME)
    folder = project_paths.REPORTS / "evaluate"
    evaluate.write(result, spec, data, folder)
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    assert result.tta is not None
    assert found == {"test": result.scores.summary, "tta": result.tta.summary}
    compared = json.loads((folder / "metrics.json").read_text())
    assert compared == {"test": result.scores.summary}


@pytest.mark.slow
def test_the_curves_mark_the_epochs_that_the_stages_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        history.EpochRow(epoch, None, loss, 0.5, 0.1) for epoch, loss in enumerate([1.0, 0.2, 0.4])
    ]
    for stage, best in zip(TRAINING_STAGES, (2, 0, 1), strict=True):
        folder = project_paths.REPORTS / stage
        history.write(rows, folder / project_paths.HISTORY)
        write_json(folder / project_paths.REPORT, {"best_epoch": best})
    marked = []
    monkeypatch.setattr(plots, "learning_curves", lambda _, kept, __: marked.append(kept))
    data, spec = Prepared(project_paths.PREPARED), directory.read_spec(evaluate.MODEL)
    evaluate.write(scored(0, {}), spec, data, project_paths.REPORTS / "evaluate")
    assert [row.epoch for row in marked[0].values()] == [2, 0, 1]


@pytest.mark.parametrize("stage", TRAINING_STAGES)
def test_a_missing_history_is_one_line_before_anything_is_written(stage: str) -> None:
    path = project_paths.REPORTS / stage / project_paths.HISTORY
    path.unlink()
    shutil.copy(ROOT / "params.yaml", ".")
    with pytest.raises(ThawError, match=f"{path} does not exist: run `dvc repro`"):
        evaluate.main()
    assert not (project_paths.REPORTS / "evaluate").exists()

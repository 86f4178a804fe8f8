"""The models that the training stages write are calibrated on their own validation logits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.advice import project as small
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.context import open_context
from thaw.model import directory
from thaw.model.calibration import Calibration
from thaw.stages import fold_bn, prepare, unfreeze
from thaw.system import project_paths
from thaw.training.calibration import fit_calibration
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from pathlib import Path

WARM = project_paths.MODELS / "warmup_head"
BOTH_FORMS = [project_paths.MODELS / "fold_bn" / form for form in ("affine", "merged")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrating")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small.make(folder)
        write_values({"prepare.val_fraction": 0.4})
        prepare.main()
    return folder


@pytest.fixture(autouse=True)
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny project with the model of a head warm-up, as the working directory."""
    torch.set_num_threads(1)
    monkeypatch.chdir(made)
    off = {"depth": 1, "batch_norm": "frozen", "epochs": 0}
    values = {f"unfreeze.{key}": value for key, value in off.items()}
    write_values({**values, "fold_bn.epochs": 0, "regularize.calibration": "temperature"})
    set_calibration(None)


def set_calibration(calibration: Calibration | None) -> None:
    classifier, spec = directory.load(WARM, allow_others=True)
    directory.save(classifier, spec.model_copy(update={"calibration": calibration}), WARM)


def found(folder: Path) -> Calibration | None:
    return directory.read_spec(folder).calibration


def fitted(folder: Path) -> Calibration:
    """Return the temperature that belongs to the validation logits of the model in ``folder``."""
    classifier, spec = directory.load(folder, allow_others=True)
    context = open_context(load(Params), project_paths.PREPARED)
    val = context.data.images("val", spec.preprocessing)
    outputs = logits(context.runtime, classifier, val, "").double().numpy()
    return fit_calibration(outputs, val.targets, "temperature").calibration


def report(stage: str) -> dict[str, Any]:
    text = (project_paths.REPORTS / stage / project_paths.REPORT).read_text()
    content: dict[str, Any] = json.loads(text)
    return content


def near(one: Calibration | None, other: Calibration | None) -> bool:
    assert one is not None
    assert other is not None
    return one.scale == pytest.approx(other.scale, rel=1e-3)


@pytest.mark.slow
def test_each_stage_calibrates_the_model_that_it_writes() -> None:
    write_values({"unfreeze.epochs": 1, "unfreeze.lr": 0.0001, "fold_bn.epochs": 1})
    unfreeze.main()
    folder = project_paths.MODELS / "unfreeze"
    assert near(found(folder), fitted(folder))
    told = report("unfreeze")["calibration"]
    assert told["temperature"] == pytest.approx(1 / fitted(folder).scale[0], rel=1e-3)
    assert set(told["log_loss"]) == {"none", "temperature"}
    fold_bn.main()
    for form in BOTH_FORMS:
        assert near(found(form), fitted(form))
    assert found(BOTH_FORMS[0]) == found(BOTH_FORMS[1])


def test_a_model_that_did_not_change_keeps_its_calibration() -> None:
    # As of a head that was fitted on the validation images, too: their logits cannot calibrate it.
    given = Calibration(scale=[0.125])
    set_calibration(given)
    unfreeze.main()
    fold_bn.main()
    assert found(project_paths.MODELS / "unfreeze") == given
    assert [found(form) for form in BOTH_FORMS] == [given, given]


def test_an_unchanged_model_of_an_older_format_is_calibrated() -> None:
    unfreeze.main()
    assert near(found(project_paths.MODELS / "unfreeze"), fitted(WARM))


def test_off_calibrates_nothing() -> None:
    write_values({"regularize.calibration": "off"})
    unfreeze.main()
    fold_bn.main()
    assert found(project_paths.MODELS / "unfreeze") is None
    assert [found(form) for form in BOTH_FORMS] == [None, None]
    assert "calibration" not in report("unfreeze")

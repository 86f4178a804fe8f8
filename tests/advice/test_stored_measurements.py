from __future__ import annotations

import json
import shutil
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from safetensors.torch import load_file, save_file

from tests.advice.project import BLOCKS, CLASSES, PREPARED
from thaw.advice import stored_measurements
from thaw.advice.stored_measurements import measured_project
from thaw.cli.advice_output import show_advice
from thaw.config.editing import write_values
from thaw.data.prepared import Prepared
from thaw.evaluation.page.depth_section import depth_section
from thaw.stages import prepare
from thaw.system.project_paths import PROBE

if TYPE_CHECKING:
    from thaw.advice.measurements import Measurements
    from thaw.evaluation.page.subject import Subject


@pytest.fixture(scope="module")
def first(made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Measurements, str]:
    """Return what the first command measures in the project, and the file that it writes."""
    folder = tmp_path_factory.mktemp("measured") / "project"
    shutil.copytree(made, folder)
    with chdir(folder):
        return measured_project(PREPARED), PROBE.read_text()


@pytest.fixture
def measurements(first: tuple[Measurements, str], project: Path) -> Measurements:
    """Return the measurements of the project, which has them in its file."""
    PROBE.parent.mkdir(exist_ok=True)
    PROBE.write_text(first[1])
    return first[0]


def _forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: object) -> None:
        pytest.fail("measured again")

    monkeypatch.setattr(stored_measurements, "measure", measure)


def _is_measured_anew(monkeypatch: pytest.MonkeyPatch) -> bool:
    _forbid(monkeypatch)
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        measured_project(PREPARED)
    return True


@pytest.mark.slow
def test_a_project_is_measured_with_the_backbone_of_its_parameters(
    measurements: Measurements,
) -> None:
    assert (measurements.classes, measurements.blocks) == (CLASSES, BLOCKS)


def test_the_report_page_shows_the_measurements_of_its_data_and_backbone(
    measurements: Measurements,
) -> None:
    backbone = json.loads(PROBE.read_text())["backbone"]
    spec = SimpleNamespace(backbone=backbone)
    subject = cast("Subject", SimpleNamespace(data=Prepared(PREPARED), spec=spec))
    rows = depth_section(subject)
    assert rows is not None
    assert [row["accuracy"] for row in rows if row["kind"] == "block alone"] == [
        probe.accuracy for probe in measurements.block_probes
    ]


def test_the_same_is_not_measured_again_and_the_message_says_so(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _forbid(monkeypatch)
    assert measured_project(PREPARED) == measurements
    assert "are read from .thaw/probe.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changed",
    [
        {"unfreeze.depth": 3, "unfreeze.epochs": 1, "unfreeze.lr": 0.01},
        {"head.taps": [2, 3], "warmup_head.fit": "logistic", "fold_bn.epochs": 0},
        {"augment.crop": 0.3, "augment.rotate": 0.0, "regularize.label_smoothing": 0.1},
        {"launch.threads": 2},
        {"tracking.experiment": "other", "resources.cache_gb": 1.0},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_value_that_changes_no_measurement_measures_nothing(
    measurements: Measurements, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_values(changed)
    _forbid(monkeypatch)
    assert measured_project(PREPARED) == measurements


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 5},
        {"backbone.image_size": 48},
        {"backbone.crop_pct": 0.8},
        {"backbone.framing": "pad"},
        {"launch.precision": "bf16"},
        {"backbone.weights": "none"},
        {"backbone.weights": "other.safetensors"},
        {"backbone.name": "timm/test_resnet", "backbone.weights": "none"},
    ],
    ids=str,
)
def test_another_input_backbone_or_seed_is_measured_anew(
    measurements: Measurements, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if changed.get("backbone.weights") == "other.safetensors":
        weights = load_file("weights.safetensors")
        save_file({name: value * 2 for name, value in weights.items()}, "other.safetensors")
    write_values(changed)
    assert _is_measured_anew(monkeypatch)


def test_other_images_are_measured_anew(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    next(Path("images").rglob("*.png")).unlink()
    prepare.main()
    assert _is_measured_anew(monkeypatch)


def test_other_code_is_measured_anew(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_measurements, "code_digests", lambda: {"unfreeze": "other"})
    assert _is_measured_anew(monkeypatch)


@pytest.mark.parametrize("damage", ["", "[]", "null", '{"key": 1}', "{"])
def test_a_damaged_file_has_no_measurements(measurements: Measurements, damage: str) -> None:
    key = json.loads(PROBE.read_text())["key"]
    assert stored_measurements._read(key) == measurements
    PROBE.write_text(damage)
    assert stored_measurements._read(key) is None
    assert stored_measurements._read(1) is None  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_file_without_a_value_is_replaced(measurements: Measurements) -> None:
    content = json.loads(PROBE.read_text())
    del content["measurements"]["split_test"]
    PROBE.write_text(json.dumps(content))
    assert measured_project(PREPARED) == measurements
    assert json.loads(PROBE.read_text())["measurements"]["blocks"] == measurements.blocks


@pytest.mark.slow
def test_an_advice_without_comparison_is_for_the_input_that_it_writes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = dict.fromkeys(("backbone.framing", "backbone.image_size", "head.taps"), "auto")
    write_values({**auto, "backbone.weights": "none", "unfreeze.depth": "auto"})
    show_advice(PREPARED, apply=True)
    _forbid(monkeypatch)
    assert measured_project(PREPARED).from_scratch

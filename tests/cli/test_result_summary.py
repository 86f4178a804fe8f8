from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.promotion.offering import offer
from tests.promotion.shop_fixtures import local
from tests.store_fixtures import _mlflow_as_it_was
from thaw.cli import result_summary
from thaw.cli.result_summary import add_release, as_json
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.promotion.release_pages import CURRENT_PAGE

if TYPE_CHECKING:
    from tests.promotion.offered import Shop

__all__ = ["_mlflow_as_it_was", "local"]  # fixtures

PARAMS = load(Params, Path(__file__).parents[2] / "params.yaml")

PHASE = {"epochs": 8, "best_epoch": 6, "start_val_loss": 2.31, "val_loss": 0.4567}
REPORTS: dict[str, dict[str, Any]] = {
    "prepare/report.json": {
        "images": 1797,
        "classes": 10,
        "splits": {"train": 1259, "val": 269, "test": 269},
    },
    "warmup_head/report.json": PHASE | {"best_epoch": 3, "epochs": 5},
    "unfreeze/report.json": PHASE | {"warmup_head_stands": False, "blocks": [8, 9]},
    "fold_bn/report.json": PHASE
    | {"folded": 49, "merged": 48, "kept_affine": 1}
    | {"fold_relative_move": 1e-7, "merge_relative_move": 3e-6},
    "evaluate/report.json": {
        "test": {
            "accuracy": 0.98765,
            "accuracy_low": 0.96,
            "accuracy_high": 0.995,
            "images": 269.0,
            "macro_f1": 0.9871,
            "log_loss": 0.0512,
            "ece": 0.0123,
            "worst_class_recall": 0.9259,
        }
    },
    "evaluate/registered.json": {
        "run_id": "0123456789abcdef0123456789abcdef",
        "name": "digits",
        "version": 3,
        "alias": "challenger",
    },
}


def write(folder: Path, **changes: dict[str, Any]) -> Path:
    """Write the reports of a run; ``changes`` by stage go into report.json or registered.json."""
    for name, content in REPORTS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        stage = "registered" if path.stem == "registered" else path.parent.name
        path.write_text(json.dumps(content | changes.get(stage, {})))
    return folder


def show(params: Params, reports: Path) -> None:
    result_summary.show(params, as_json(reports))


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the printed text without the table's frame and line breaks."""
    out = capsys.readouterr().out
    return " ".join(out.replace("│", " ").split())


@pytest.mark.parametrize(
    "expected",
    [
        "1797 images, 10 classes (1259 train, 269 validation, 269 test)",
        "timm/tf_efficientnet_lite0, weights packaged",
        "best epoch 3 of 5, validation loss 2.3100 to 0.4567",
        "unfreeze (2 blocks) best epoch 6 of 8",
        "48 of 49 BatchNorms merged into the weights",
        "which changed no output by more than 0.0003 %",
        "0.9877 (95 % interval 0.960 to 0.995, 269 images)",
        "0.9871, 0.0512",
        "0.0123, 0.9259",
        "digits version 3 as @challenger",
        "0123456789abcdef0123456789abcdef",
        "thaw ui",
    ],
)
def test_the_summary_has_data_training_scores_version_and_next_commands(
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    show(PARAMS, write(tmp_path))
    assert expected in shown(capsys)


def test_no_batch_norm_is_merged_where_none_was_folded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    none = {"folded": 0, "merged": 0, "kept_affine": 0}
    show(PARAMS, write(tmp_path, fold_bn=none))
    assert "; no BatchNorm to merge" in shown(capsys)


@pytest.mark.parametrize("folded", [0, 48])
def test_batch_norms_that_were_trained_as_affine_maps_count_as_merged(
    folded: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    counts = {"folded": folded, "merged": 49, "kept_affine": 0}
    show(PARAMS, write(tmp_path, fold_bn=counts))
    text = shown(capsys)
    assert "49 BatchNorms merged into the weights" in text
    assert "49 of" not in text


def test_a_result_without_the_value_of_a_newer_metric_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    write(tmp_path)
    path = tmp_path / "evaluate" / "report.json"
    content = json.loads(path.read_text())
    del content["test"]["macro_f1"]
    path.write_text(json.dumps(content))
    show(PARAMS, tmp_path)
    printed = shown(capsys)
    assert "macro F1" not in printed
    assert "log-loss, ECE 0.0512, 0.0123" in printed


@pytest.mark.parametrize(
    ("blocks", "words"), [([], "0 blocks"), ([9], "1 block"), ([8, 9], "2 blocks")]
)
def test_the_number_of_trained_blocks_is_in_words_that_fit(
    blocks: list[int], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(PARAMS, write(tmp_path, unfreeze={"warmup_head_stands": False, "blocks": blocks}))
    assert f"unfreeze ({words})" in shown(capsys)


@pytest.mark.parametrize("stands", [False, True])
def test_the_report_says_when_unfreezing_did_not_help(
    stands: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(PARAMS, write(tmp_path, unfreeze={"warmup_head_stands": stands, "blocks": [9]}))
    assert ("the head warm-up's model is kept" in shown(capsys)) is stands


def test_fine_tuning_that_was_dropped_is_shown_with_the_losses_that_were_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    tuned = {
        "is_kept": False, "head_log_loss": 0.2355, "log_loss": 0.1008, "accuracy": 0.963,
        "difference": -0.1346, "difference_error": 0.1365, "needed_gain": 0.1365,
    }  # fmt: skip
    changes = {"warmup_head_stands": True, "blocks": [], "epochs": 7, "fine_tuning": tuned}
    show(PARAMS, write(tmp_path, unfreeze=changes))
    assert (
        "7 epochs dropped: validation loss 0.2355 (head alone) to 0.1008: it fell by 0.1346 "
        "(standard error 0.1365), but more than 0.1365 is needed (one standard error); the head "
        "warm-up's model is kept"
    ) in shown(capsys)


@pytest.mark.parametrize(("epochs", "more"), [(5, ""), (0, " -S unfreeze.epochs=5")])
def test_the_experiment_that_is_proposed_trains_epochs(
    epochs: int, more: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unfreeze = PARAMS.unfreeze.model_copy(update={"epochs": epochs})
    show(PARAMS.model_copy(update={"unfreeze": unfreeze}), write(tmp_path))
    assert f"dvc exp run -S unfreeze.depth=3{more} another value" in shown(capsys)


def test_the_experiment_that_is_proposed_has_another_depth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unfreeze = PARAMS.unfreeze.model_copy(update={"depth": 3, "epochs": 5})
    show(PARAMS.model_copy(update={"unfreeze": unfreeze}), write(tmp_path))
    assert "dvc exp run -S unfreeze.depth=5 another value" in shown(capsys)


def test_the_alias_of_the_registration_is_not_shown_as_the_one_after_a_decision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    content = as_json(write(tmp_path))
    content["release"] = {"label": "Released as champion", "reason": "Promoted."}
    result_summary.show(PARAMS, content)
    printed = shown(capsys)
    assert "registered digits version 3 first as @challenger" in printed
    assert "release Released as champion: Promoted." in printed


@pytest.mark.parametrize(("alias", "is_offered"), [("challenger", True), ("champion", False)])
def test_a_challenger_is_to_be_offered_next(
    alias: str, is_offered: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(PARAMS, write(tmp_path, registered={"alias": alias}))
    assert ("thaw promote" in shown(capsys)) is is_offered


def test_a_kept_epoch_that_is_worse_than_the_start_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = PHASE | {"start_val_loss": 0.31, "val_loss": 0.35, "blocks": [8, 9]}
    tuned = {"is_kept": True, "head_log_loss": 0.4, "log_loss": 0.33}
    worse |= {"warmup_head_stands": False, "fine_tuning": tuned}
    show(PARAMS, write(tmp_path, unfreeze=worse))
    printed = shown(capsys)
    assert "epoch 6, best of 1 to 8, validation loss 0.3500 (the start has 0.3100)" in printed
    assert "after calibration 0.3300 (head alone 0.4000)" in printed


def test_a_phase_without_epochs_has_no_best_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(PARAMS, write(tmp_path, fold_bn={"epochs": 0, "best_epoch": 0, "val_loss": 0.25}))
    printed = shown(capsys)
    assert "fold_bn no epoch trained;" in printed
    assert "of 0" not in printed


@pytest.mark.parametrize("missing", REPORTS)
def test_a_report_that_is_missing_is_named(missing: str, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ThawError, match=f"there is no {tmp_path / missing} yet: run `dvc repro`"):
        show(PARAMS, tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_a_report_that_is_damaged_is_named(content: str, tmp_path: Path) -> None:
    write(tmp_path)
    damaged = tmp_path / "evaluate" / "report.json"
    damaged.write_text(content)
    with pytest.raises(ThawError, match=str(damaged)):
        show(PARAMS, tmp_path)


@pytest.mark.parametrize("name", ["digits[v2]", "[red]digits", "digits [/old]"])
def test_square_brackets_in_a_name_are_shown(
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    backbone = PARAMS.backbone.model_copy(update={"weights": f"/weights/{name}.pth"})
    params = PARAMS.model_copy(update={"backbone": backbone})
    show(params, write(tmp_path, registered={"name": name}))
    printed = shown(capsys)
    assert f"{name} version 3" in printed
    assert f"/weights/{name}.pth" in printed


def test_test_time_augmentation_has_a_row_where_it_was_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(PARAMS, write(tmp_path))
    assert "with augmentation" not in shown(capsys)
    metrics = json.loads((tmp_path / "evaluate/report.json").read_text())
    metrics["tta"] = {"accuracy": 0.99251}
    (tmp_path / "evaluate/report.json").write_text(json.dumps(metrics))
    show(PARAMS, tmp_path)
    assert "with augmentation 0.9925" in shown(capsys)


def test_the_table_shows_what_the_calibration_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {"uncalibrated": {"log_loss": 0.2, "ece": 0.1}}
    write(tmp_path)
    path = tmp_path / "evaluate" / "report.json"
    path.write_text(json.dumps(REPORTS["evaluate/report.json"] | before))
    show(PARAMS, tmp_path)
    assert "log-loss 0.2000 to 0.0512, ECE 0.1000 to 0.0123" in shown(capsys)


def test_the_result_is_printed_as_json_by_stage(tmp_path: Path) -> None:
    found = as_json(write(tmp_path))
    assert found["evaluate"]["test"]["accuracy"] == 0.98765
    assert (found["unfreeze"]["blocks"], found["registered"]["version"]) == ([8, 9], 3)
    assert found["page"] is None
    (tmp_path / "index.html").touch()
    assert as_json(tmp_path)["page"] == str(tmp_path / "index.html")


@pytest.mark.slow
def test_a_decision_after_the_registration_is_shown_with_its_page(
    local: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    name = "reported"
    for quality in ("good", "bad"):
        local.register(name, quality)
    reports = write(Path("reports"), registered={"name": name, "version": 2})
    page = reports / "index.html"
    page.write_text('<p class="release">as registered</p>')
    content = as_json(reports)
    add_release(content, local.params)
    assert content["release"] is None  # nothing was decided
    report = offer(local, name, 2)
    capsys.readouterr()
    add_release(content, local.params)
    result_summary.show(PARAMS, content)
    printed = shown(capsys)
    assert f"release Refused: The gate refused it on {report.when[:10]}" in printed
    assert CURRENT_PAGE.resolve().as_uri() in printed
    page.unlink()  # evaluate.report is off
    content = as_json(reports)
    add_release(content, local.params)
    assert (content["release"]["label"], content["page"]) == ("Refused", None)


def test_a_registry_that_cannot_be_read_leaves_the_rest_of_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database")
    tracking = PARAMS.tracking.model_copy(update={"uri": f"sqlite:///{tmp_path}/mlflow.db"})
    (write(tmp_path) / "index.html").touch()
    content = as_json(tmp_path)
    add_release(content, PARAMS.model_copy(update={"tracking": tracking}))
    assert content["release"] is None
    assert content["page"] == str(tmp_path / "index.html")
    assert "release of the version as it was when it was registered: " in capsys.readouterr().err

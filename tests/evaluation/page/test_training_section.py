from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from thaw.evaluation.page.training_section import choices_section, training_section
from thaw.system.files import write_json, write_whole

if TYPE_CHECKING:
    from thaw.evaluation.page.subject import Subject

HEADS = (
    "step,framing,image_size,crop_pct,blocks,fit,strength,log_loss,log_loss_error,accuracy,"
    "accuracy_error,difference,difference_error,seconds,chosen\n"
    "fit,crop,64,1.0,1 to 9,lda,0.01,0.5,0.02,0.9,0.01,0.0,0.0,0.29,True\n"
    "size,crop,32,1.0,9,logistic,0.1,0.7,0.03,0.8,0.01,0.2,0.05,1.5,False\n"
)
TRAININGS = (
    "candidate,epochs,log_loss,accuracy,difference,difference_error,seconds,chosen\n"
    "head alone,0,0.5,0.9,0.0,0.0,2.0,True\n"
    '"all blocks, lr 0.01",1,0.9,0.6,0.4,0.05,3.0,False\n'
    '"all blocks, lr 0.001",3,0.6,0.8,0.1,0.04,9.0,False\n'
)


def test_the_epochs_of_all_phases_are_on_one_axis(project: Subject) -> None:
    section = training_section(project)
    assert [row["at"] for row in section["curves"]] == [0, 1, 2, 3, 4, 5]
    assert [row["epoch"] for row in section["curves"]] == [0, 1] * 3
    assert [row["kept"] for row in section["curves"]] == [False, True] * 3
    first = section["phases"][0]
    assert (first["phase"], first["kept"], first["epochs"]) == ("Head warm-up", 1, 1)
    assert (first["start_val_loss"], first["val_loss"]) == (2.0, 1.0)


def test_a_phase_that_kept_its_start_and_a_refit_are_said(project: Subject) -> None:
    path = project.reports / "unfreeze" / "report.json"
    write_json(path, {"best_epoch": 0, "warmup_head_stands": True, "refit": {"images": 24}})
    phase = training_section(project)["phases"][1]
    write_json(path, {"best_epoch": 1})
    assert phase["kept"] == 0
    assert phase["val_loss"] == 2.0
    assert "the model of the head warm-up was kept" in phase["note"]
    assert "all 24 training and validation images" in phase["note"]


def test_a_training_that_was_dropped_is_said_with_both_losses(project: Subject) -> None:
    folder = project.reports / "unfreeze"
    report, table = folder / "report.json", folder / "leaderboard.csv"
    found = {"is_kept": False, "head_log_loss": 0.45, "log_loss": 0.75, "difference": 0.3,
             "head_accuracy": 0.8, "difference_error": 0.1, "needed_gain": 0.1}  # fmt: skip
    write_json(report, {"best_epoch": 0, "warmup_head_stands": True, "fine_tuning": found})
    write_whole(table, TRAININGS.encode())
    section, choices = training_section(project), choices_section(project)
    table.unlink()
    write_json(report, {"best_epoch": 1})
    assert choices is not None
    phase = section["phases"][1]
    assert (phase["kept"], phase["val_loss"], phase["val_accuracy"]) == (None, 0.45, 0.8)
    losses = "validation loss 0.4500 (head alone) to 0.7500: it did not fall"
    assert phase["note"] == f"Dropped, and the head alone was kept: {losses}."
    assert choices["dropped"] == losses
    unfreeze = [row["kept"] for row in section["curves"] if row["phase"] == "Unfreeze"]
    assert not any(unfreeze)  # its start may be another head than the one that was kept


def test_a_training_that_was_repeated_on_all_images_is_said(project: Subject) -> None:
    path = project.reports / "unfreeze" / "report.json"
    write_json(path, {"best_epoch": 1, "blocks": [9], "refit": {"images": 24, "epochs": 1}})
    note = training_section(project)["phases"][1]["note"]
    write_json(path, {"best_epoch": 1})
    assert "1 block trained. Then the training was repeated on all 24 training and " in note
    assert "for 1 epoch: later validation scores" in note


def test_losses_after_calibration_are_said(project: Subject) -> None:
    path = project.reports / "unfreeze" / "report.json"
    said = {}
    for calibration in ({}, {"calibration": {"kind": "temperature"}}):
        write_json(path, {"best_epoch": 1, "fine_tuning": {"is_kept": True}, **calibration})
        note = training_section(project)["phases"][1]["note"]
        said[bool(calibration)] = "losses are those after a calibration" in note
    write_json(path, {"best_epoch": 1})
    assert said == {False: False, True: True}


def test_without_leaderboards_there_are_no_choices(project: Subject) -> None:
    assert choices_section(project) is None


def test_the_error_of_a_comparison_on_one_image_is_none(project: Subject) -> None:
    path = project.reports / "unfreeze" / "leaderboard.csv"
    write_whole(path, TRAININGS.replace("0.05", "inf").encode())
    section = choices_section(project)
    path.unlink()
    assert section is not None
    assert [row["error"] for row in section["trainings"]] == [0.0, 0.04, None]
    assert "Infinity" not in json.dumps(section)  # which no browser reads


def test_leaderboards_have_a_row_for_each_candidate(project: Subject) -> None:
    head = project.reports / "warmup_head"
    write_whole(head / "leaderboard.csv", HEADS.encode())
    write_whole(project.reports / "unfreeze" / "leaderboard.csv", TRAININGS.encode())
    write_json(head / "choices.json", {"values": {"head.taps": [8, 9]}, "images": 51, "folds": 5})
    training = project.reports / "unfreeze" / "choices.json"
    write_json(training, {"values": {"augment.flip": 0.0}})
    section = choices_section(project)
    training.unlink()
    for name in ("warmup_head/leaderboard.csv", "unfreeze/leaderboard.csv"):
        (project.reports / name).unlink()
    (head / "choices.json").unlink()
    assert section is not None
    assert section["values"].keys() == {"head.taps", "augment.flip"}
    assert section["values"]["head.taps"] == "8, 9"
    assert [row["chosen"] for row in section["heads"]] == [True, False]
    assert section["heads"][0]["name"] == "crop 64 px, blocks 1 to 9, lda 0.01"
    assert section["trainings"][1]["name"] == "all blocks, lr 0.001, 3 epochs"
    assert section["trainings"][1]["error"] == 0.04
    assert section["trainings"][1]["difference_interval"] == pytest.approx(1.96 * 0.04)
    # of an earlier version
    assert section["trainings"][1]["log_loss_interval"] is None
    assert section["trainings"][1]["to_chosen"] is None
    assert section["dropped"] == ""
    assert [row["log_loss"] for row in section["trainings"]] == [0.5, 0.6, 0.9]

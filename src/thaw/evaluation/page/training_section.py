"""The sections on choices and training: leaderboards, and the curves of all phases."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Any

from thaw.evaluation import stage_reports
from thaw.evaluation.fine_tuning_text import comparison_text
from thaw.metrics.uncertainty import NORMAL_95
from thaw.system import project_paths
from thaw.system.quantities import quantity
from thaw.system.stage_names import TRAINING_STAGES
from thaw.training import history

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from thaw.evaluation.page.subject import Subject

_TITLES = {
    "warmup_head": "Head warm-up",
    "unfreeze": "Unfreeze",
    "fold_bn": "Fold BatchNorm",
}


def training_section(subject: Subject) -> dict[str, Any]:
    """Return the curves of all phases on one axis of epochs, and a row for each phase."""
    curves: list[dict[str, Any]] = []
    phases: list[dict[str, Any]] = []
    start = 0
    for stage in TRAINING_STAGES:
        rows = history.read(subject.reports / stage / project_paths.HISTORY)
        report = stage_reports.read_if_present(subject.reports / stage / project_paths.REPORT)
        dropped = dropped_training(report)
        kept = stage_reports.kept_epoch(rows, report)
        title = _TITLES[stage]
        for row in rows:
            point = {"phase": title, "epoch": row.epoch, "at": start + row.epoch}
            point |= {"kept": row.epoch == kept.epoch and not dropped, "lr": row.lr}
            point |= {"train_loss": row.train_loss, "val_loss": row.val_loss}
            curves.append(point | {"val_accuracy": row.val_accuracy})
        phases.append(
            {
                "phase": title,
                "epochs": rows[-1].epoch,
                "kept": None if dropped else kept.epoch,
                "start_val_loss": rows[0].val_loss,
                "val_loss": dropped.get("head_log_loss", kept.val_loss),
                "start_val_accuracy": rows[0].val_accuracy,
                "val_accuracy": dropped.get("head_accuracy", kept.val_accuracy),
                "note": _note(stage, report),
            }
        )
        start += rows[-1].epoch + 1
    return {"curves": curves, "phases": phases}


def dropped_training(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the comparison with the head alone by which a training was dropped; {} if none was.

    ``report`` is that of a stage. The start of such a training may be another head than the one
    that was kept.
    """
    found: dict[str, Any] = report.get("fine_tuning") or {}
    return {} if found.get("is_kept", True) else found


def choices_section(subject: Subject) -> dict[str, Any] | None:
    """Return what was chosen by measurements, and the leaderboards; None if nothing was."""
    chosen = stage_reports.read_if_present(subject.reports / "warmup_head" / "choices.json")
    heads = _table(subject.reports / "warmup_head" / "leaderboard.csv")
    trainings = _table(subject.reports / "unfreeze" / "leaderboard.csv")
    if not heads and not trainings:
        return None
    trained = stage_reports.read_if_present(subject.reports / "unfreeze" / "choices.json")
    both = {**chosen.get("values", {}), **trained.get("values", {})}
    values = {name: _text(value) for name, value in both.items()}
    dropped = dropped_training(
        stage_reports.read_if_present(subject.reports / "unfreeze" / project_paths.REPORT)
    )
    return {
        "values": values,
        "images": chosen.get("images", 0),
        "folds": chosen.get("folds", 0),
        "note": chosen.get("note", ""),
        "heads": [_head(row) for row in heads],
        "trainings": sorted(map(_training, trainings), key=lambda row: row["log_loss"]),
        "dropped": comparison_text(dropped) if dropped else "",
    }


def _note(stage: str, report: dict[str, Any]) -> str:
    """Return what is special about the phase, in sentences."""
    notes = []
    if stage == "unfreeze" and (dropped := dropped_training(report)):
        notes.append(f"Dropped, and the head alone was kept: {comparison_text(dropped)}.")
    elif stage == "unfreeze" and report.get("warmup_head_stands"):
        notes.append("No epoch was better: the model of the head warm-up was kept.")
    elif stage == "unfreeze" and report.get("blocks"):
        notes.append(f"{quantity(len(report['blocks']), 'block')} trained.")
    if report.get("fine_tuning") and report.get("calibration"):
        notes.append(
            "Its validation losses are those after a calibration; the losses of the other phases "
            "are not calibrated."
        )
    if refit := report.get("refit"):
        notes.append(_refit_note(refit))
    if stage == "fold_bn" and "folded" in report:
        notes.append(
            f"{report['folded']} BatchNorms folded, {report['merged']} merged into convolutions."
        )
    return " ".join(notes)


def _refit_note(refit: dict[str, Any]) -> str:
    images = f"all {refit['images']} training and validation images"
    if epochs := refit.get("epochs"):
        done = f"the training was repeated on {images}, for {quantity(epochs, 'epoch')}"
        return f"Then {done}: later validation scores are of images that it was trained on."
    done = f"the head was fitted again on {images}"
    return f"Then {done}: later validation scores are of images that it was fitted to."


def _head(row: dict[str, str]) -> dict[str, Any]:
    name = (
        f"{row['framing']} {row['image_size']} px, blocks {row['blocks']}, "
        f"{row['fit']} {float(row['strength']):g}"
    )
    return {"step": row["step"], "name": name, **_scores(row, "log_loss_error")}


def _training(row: dict[str, str]) -> dict[str, Any]:
    epochs = int(row["epochs"])
    name = f"{row['candidate']}, {quantity(epochs, 'epoch')}" if epochs else row["candidate"]
    return {
        "name": name,
        **_scores(row, "difference_error"),
        "to_chosen": _finite(row.get("to_chosen", "inf")),
    }


def _scores(row: dict[str, str], error: str) -> dict[str, Any]:
    """Return the numbers of a leaderboard's row, with ``error`` for the diagram.

    Those with ``interval`` are half of a 95 % interval.
    """
    found: dict[str, Any] = {"error": _finite(row[error]), "chosen": row["chosen"] == "True"}
    found |= {name: float(row[name]) for name in ("log_loss", "accuracy", "difference", "seconds")}
    # Leaderboards of earlier versions have fewer errors.
    for name in ("log_loss", "difference", "to_chosen"):
        value = _finite(row.get(f"{name}_error", "inf"))
        found[f"{name}_interval"] = None if value is None else NORMAL_95 * value
    return found


def _finite(text: str) -> float | None:
    """Return a number; None, which JSON has, for an infinite one, as the error of one image is."""
    value = float(text)
    return value if math.isfinite(value) else None


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))

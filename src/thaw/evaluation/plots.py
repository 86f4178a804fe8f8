"""Plots of a result: PNG files that `dvc plots show` and the MLflow UI display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from thaw.system.pictures import write_figure
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from thaw.evaluation.scores import Scores
    from thaw.training.history import EpochRow

_MAX_MISTAKES = 24
_MAX_CLASSES = 60
_MAX_NAME_LENGTH = 24  # characters of a class name
_MAX_NAMED = 100  # classes up to which the confusion matrix shows their names
_MAX_ANNOTATED = 20  # classes up to which the confusion matrix shows its counts


def confusion(matrix: NDArray[np.int64], classes: Sequence[str], path: Path) -> None:
    """Plot the confusion matrix: counts, coloured by their share of the row."""
    size = max(4.0, min(0.42 * len(classes) + 2.2, 16.0))
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axis = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axis, label="share of the class", shrink=0.8)
    unnamed = ""
    if len(classes) <= _MAX_NAMED:
        names = [_name(label) for label in classes]
        font = min(10.0, 700 / len(classes))
        rotation = 90 if _are_wide(names, size) else 0
        axis.set_xticks(range(len(classes)), names, rotation=rotation, fontsize=font)
        axis.set_yticks(range(len(classes)), names, fontsize=font)
    else:
        unnamed = " (number of the class in per_class.csv, from 0)"
    axis.set_xlabel(f"predicted{unnamed}")
    axis.set_ylabel(f"target{unnamed}")
    if len(classes) <= _MAX_ANNOTATED:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axis.text(column, row, str(count), ha="center", va="center", color=colour)
    axis.set_title(f"Test split: {int(np.trace(matrix))} of {int(matrix.sum())} right")
    _save(figure, path)


def per_class(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot precision and recall per class, at most of the worst 60; the worst recall is on top."""
    ordered = sorted(rows, key=lambda row: row["recall"], reverse=True)[-_MAX_CLASSES:]
    figure = Figure(figsize=(6.4, max(2.4, 0.32 * len(ordered) + 1.2)), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(ordered))
    axis.barh(places + 0.2, [row["recall"] for row in ordered], height=0.38, label="recall")
    axis.barh(places - 0.2, [row["precision"] for row in ordered], height=0.38, label="precision")
    axis.set_yticks(places, [f"{_name(row['class'])} ({row['support']})" for row in ordered])
    if len(ordered) < len(rows):
        axis.set_title(
            f"The {len(ordered)} of {len(rows)} classes with the lowest recall", fontsize=10
        )
    axis.set_xlim(0, 1)
    axis.set_ylim(-0.6, len(ordered) - 0.4)
    axis.set_xlabel("on the test split (images in brackets)")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    _save(figure, path)


def reliability(scores: Scores, uncalibrated: Scores | None, path: Path) -> None:
    """Plot accuracy over confidence, and the number of images by confidence.

    ``uncalibrated`` are the scores before calibration; None if the model has none.
    """
    figure = Figure(figsize=(5.2, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfect calibration")
    shown = {"model": scores}
    if uncalibrated:
        shown = {"before calibration": uncalibrated, "after calibration": scores}
    for place, (label, found) in enumerate(shown.items(), start=2 - len(shown)):
        # The model itself has the same colour with and without a line of before.
        colour = ("C1", "C0")[place]
        _draw_reliability(upper, found, label, colour, "xo"[place])
        _draw_confidences(lower, found, colour)
    upper.set_ylabel("accuracy")
    upper.set_ylim(-0.02, 1.02)
    upper.legend(fontsize="small")
    upper.set_title("Calibration on the test split")
    lower.set_yscale("log")
    lower.set_ylabel("images")
    lower.set_xlabel("confidence")
    lower.set_xlim(0, 1)
    _save(figure, path)


def _draw_reliability(axis: Axes, scores: Scores, label: str, colour: str, marker: str) -> None:
    """Draw accuracy over confidence."""
    summary = scores.summary
    axis.plot(
        [row["confidence"] for row in scores.reliability],
        [row["accuracy"] for row in scores.reliability],
        label=f"{label}: ECE {summary['ece']:.3f}, log-loss {summary['log_loss']:.3f}",
        color=colour,
        marker=marker,
    )


def _draw_confidences(axis: Axes, scores: Scores, colour: str) -> None:
    """Draw the number of images by confidence."""
    rows = scores.reliability
    axis.bar(
        [row["low"] for row in rows],
        [row["images"] for row in rows],
        width=[row["high"] - row["low"] for row in rows],
        align="edge",
        edgecolor=colour,
        facecolor=(*to_rgb(colour), 0.35),
    )


def learning_curves(
    histories: Mapping[str, Sequence[EpochRow]], kept: Mapping[str, EpochRow], path: Path
) -> None:
    """Plot losses and accuracy over all stages in order, and mark the ``kept`` epochs."""
    figure = Figure(figsize=(8.0, 5.6), layout="constrained")
    losses, accuracy = figure.subplots(2, 1, sharex=True)
    start = 0
    for phase, (name, rows) in enumerate(histories.items()):
        at = [start + row.epoch for row in rows]
        best = kept[name]
        trained = [row for row in rows if row.train_loss is not None]
        losses.plot(
            [start + row.epoch for row in trained],
            [row.train_loss for row in trained],
            color="C0",
            label="training" if phase == 0 else None,
        )
        losses.plot(
            at,
            [row.val_loss for row in rows],
            color="C1",
            label="validation" if phase == 0 else None,
        )
        accuracy.plot(at, [row.val_accuracy for row in rows], color="C1")
        mark = {"marker": "*", "color": "C3", "markersize": 11, "linestyle": "none"}
        label = "kept epoch" if phase == 0 else None
        losses.plot([start + best.epoch], [best.val_loss], label=label, **mark)
        accuracy.plot([start + best.epoch], [best.val_accuracy], **mark)
        for axis in (losses, accuracy):
            axis.axvspan(start, at[-1], color="grey", alpha=0.08 if phase % 2 else 0.0)
        losses.annotate(
            name,
            (start, 1.02),
            xycoords=("data", "axes fraction"),
            va="bottom",
            rotation=15,  # stages without epochs are close together
            fontsize=9,
        )
        start = at[-1] + 1
    losses.set_yscale("log")
    losses.set_ylabel("cross-entropy (nats)")
    accuracy.set_ylabel("validation accuracy")
    accuracy.set_xlabel("epoch, over all phases")
    accuracy.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    _save(figure, path)


def mistakes(
    read: Callable[[int], NDArray[np.uint8]],
    wrong: Sequence[tuple[int, str, str, float]],
    path: Path,
) -> None:
    """Plot the most confident mistakes: images with label, predicted label and confidence.

    ``read`` returns the pixels of an image id. ``wrong`` holds (image id, label, predicted label,
    confidence) of all mistakes.
    """
    shown = sorted(wrong, key=lambda row: -row[3])[:_MAX_MISTAKES]
    columns = min(6, max(3, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(1.7 * columns, 2.0 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, (image_id, label, predicted, confidence) in zip(axes, shown, strict=False):
        axis.imshow(read(image_id))
        axis.set_title(
            f"{_name(label)},\nnot {_name(predicted)}\n(probability {confidence:.0%})", fontsize=8
        )
    if wrong:
        title = f"{quantity(len(wrong), 'mistake')} on the test split, the most confident first"
    else:
        title = "No mistakes on the test split"
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def _name(label: str) -> str:
    """Return a class name of limited length that matplotlib does not read as a formula."""
    half = _MAX_NAME_LENGTH // 2
    short = label if len(label) <= _MAX_NAME_LENGTH else f"{label[:half]}…{label[-half:]}"
    return short.replace("$", r"\$")


def _save(figure: Figure, path: Path) -> None:
    # "tight" keeps titles visible beside long class names
    write_figure(figure, path, dpi=110, bbox_inches="tight", pad_inches=0.15)


def _are_wide(names: Sequence[str], size: float) -> bool:
    """Return whether names side by side below a matrix ``size`` inches wide would overlap."""
    # A character has about 0.095 inches, one of Chinese or Japanese two of them. The longest name
    # is also beside the matrix, which has the rest of the figure.
    inches = 0.095 * max(sum(1 + (east_asian_width(c) in "WF") for c in name) for name in names)
    return inches > (size - 0.5 - inches) / len(names)

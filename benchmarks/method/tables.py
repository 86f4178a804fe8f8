"""Tables and the picture of the comparison, from the rows of all seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.method.rows import ARMS, REFERENCE
from benchmarks.result_tables import markdown, spread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from benchmarks.method.rows import Row

_MEASURES = {"test_accuracy": 3, "test_loss": 3, "test_ece": 3}  # and their decimals
_LARGEST_ECE = 0.04  # to be reached, or twice the error that right probabilities would show


def show(rows: Sequence[Row], names: Sequence[str], console: Console) -> None:
    """Print one line per set and arm, then one per set with thaw against the best of all arms.

    A third table has the calibration error of thaw, a line per set. Last come the digests of the
    code that made thaw's rows, each with its sets, the arms that have rows of an earlier version
    alone, and the pairs of rows that are left out, because their data differ.
    """
    pairs = [(name, arm.name) for name in names for arm in ARMS]
    head = ["set", "arm", "splits", "accuracy", "log-loss", "ECE", "ECE by chance"]
    head += [f"{REFERENCE} - arm", "processor seconds"]
    markdown(head, [_line(rows, *pair) for pair in pairs if _of(rows, *pair)], console)
    compared = [line for name in names if (line := _against_best(rows, name))]
    if compared:
        markdown(
            ["set", f"{REFERENCE} - best other arm", "that arm", "best arm"],
            [cells for cells, _ in compared],
            console,
        )
        gap = np.mean([missed for _, missed in compared])
        console.print(f"{REFERENCE} misses the best arm in hindsight by {100 * gap:.1f} points\n")
    if measured := [cells for name in names if (cells := _calibration(rows, name))]:
        head = [f"ECE of {REFERENCE}", "not calibrated", "calibrated", "by chance"]
        markdown([*head, "splits within the goal"], measured, console)
    for code, sets in _sets_of_code(rows, names).items():
        console.print(f"{REFERENCE} with the code {code}: {', '.join(sets)}", soft_wrap=True)
    if outdated := _outdated(rows, names):
        console.print(
            f"measured with an earlier version of the arm: {', '.join(outdated)}",
            soft_wrap=True,
            highlight=False,
        )
    if unequal := _unequal_pairs(rows, names):
        console.print(
            f"not paired, because the digests of the data differ: {', '.join(unequal)}",
            soft_wrap=True,
            highlight=False,
        )


def _line(rows: Sequence[Row], name: str, arm: str) -> list[str]:
    found = list(_of(rows, name, arm).values())
    cells = [
        spread([row[measure] for row in found if measure in row], digits)
        for measure, digits in _MEASURES.items()
    ]
    chance = spread([row["test_ece_chance"] for row in found if "test_ece_chance" in row], 3)
    difference = "" if arm == REFERENCE else spread(gains(rows, name, arm), 3)
    cost = [row["processor"] for row in found if "processor" in row]
    seconds = f"{np.mean(cost):.0f}" if cost else "-"
    return [name, arm, str(len(found)), *cells, chance, difference, seconds]


def _against_best(rows: Sequence[Row], name: str) -> tuple[list[str], float] | None:
    """Return a line of the table, and the accuracy by which the best arm is better (0: it is not).

    The best arm in hindsight is that with the highest mean accuracy on the test splits. None if
    thaw or all others have no row.
    """
    others = [arm.name for arm in ARMS if arm.name != REFERENCE]
    means = {arm: float(np.mean(found)) for arm in others if (found := gains(rows, name, arm))}
    if not means:
        return None
    best = min(means, key=lambda arm: means[arm])
    leader = best if means[best] < 0 else REFERENCE
    return [name, spread(gains(rows, name, best), 3), best, leader], max(0.0, -means[best])


def _calibration(rows: Sequence[Row], name: str) -> list[str] | None:
    """Return a line of the table of calibration errors; None if no row of thaw has one."""
    found = [row for row in _of(rows, name, REFERENCE).values() if "test_ece_chance" in row]
    if not found:
        return None
    errors = [row["test_ece"] for row in found]
    chance = [row["test_ece_chance"] for row in found]
    before = [_uncalibrated(row) for row in found]
    within = [
        error < max(_LARGEST_ECE, 2 * expected)
        for error, expected in zip(errors, chance, strict=True)
    ]
    cells = [spread(values, 3) for values in (before, errors, chance)]
    return [name, *cells, f"{sum(within)} of {len(within)}"]


def _uncalibrated(row: Row) -> float:
    """Return the error without calibration; it is that of the row if the model has none."""
    plain = row.get("metrics", {}).get("uncalibrated")
    return float(plain["ece"] if plain else row["test_ece"])


def gains(rows: Sequence[Row], name: str, arm: str) -> list[float]:
    """Return the accuracy of thaw less that of an arm, for each split that both have.

    Rows of a seed whose digests of the data differ are no pair.
    """
    ours, theirs = _of(rows, name, REFERENCE), _of(rows, name, arm)
    return [
        ours[seed]["test_accuracy"] - theirs[seed]["test_accuracy"]
        for seed in sorted(ours.keys() & theirs.keys())
        if _is_same_data(ours[seed], theirs[seed])
    ]


def _sets_of_code(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[str]]:
    """Return the sets of each code of thaw's stages that made rows of them."""
    found: dict[str, list[str]] = {}
    for name in names:
        for code in sorted({row.get("code", "") for row in _of(rows, name, REFERENCE).values()}):
            found.setdefault(code, []).append(name)
    return found


def _outdated(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Return set, arm and splits where only an earlier version of the arm has measured."""
    found = []
    for name in names:
        for arm in ARMS:
            of_arm = _of(rows, name, arm.name)
            old = sorted(seed for seed in of_arm if of_arm[seed]["version"] != arm.version)
            if old:
                found.append(f"{name} {arm.name} {' '.join(map(str, old))}")
    return found


def _is_same_data(one: Row, other: Row) -> bool:
    return bool(one["content"] == other["content"])


def _unequal_pairs(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Return set, split and arm of the rows whose data differ from thaw's of the same seed."""
    return [
        f"{name} {seed} {arm.name}"
        for name in names
        for seed, ours in sorted(_of(rows, name, REFERENCE).items())
        for arm in ARMS
        if arm.name != REFERENCE and (theirs := _of(rows, name, arm.name).get(seed))
        if not _is_same_data(ours, theirs)
    ]


def _of(rows: Sequence[Row], name: str, arm: str) -> dict[int, Row]:
    """Return the rows of an arm by seed; those of its newest version, so that a mean has one."""
    found = [row for row in rows if (row["data"], row["arm"]) == (name, arm)]
    newest = max((row["version"] for row in found), default=0)
    return {row["seed"]: row for row in found if row["version"] == newest}


def draw(rows: Sequence[Row], names: Sequence[str], path: Path) -> None:
    """Draw one panel per data set with one row per arm: a dot per seed and a bar at the mean."""
    from matplotlib.figure import Figure

    present = [name for name in names if any(row["data"] == name for row in rows)]
    if not present:
        return
    arms = [arm.name for arm in ARMS if any(row["arm"] == arm.name for row in rows)]
    figure = Figure(figsize=(2.4 * len(present) + 1, 2.8), layout="constrained")
    axes = figure.subplots(1, len(present), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, present, strict=True):
        for place, arm in enumerate(arms):
            _draw_arm(axis, place, [row["test_accuracy"] for row in _of(rows, name, arm).values()],
                      "tab:red" if arm == REFERENCE else "tab:blue")  # fmt: skip
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("test accuracy")
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(arms)), arms)
    axes[0].invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _draw_arm(axis: Any, place: int, values: Sequence[float], colour: str) -> None:
    axis.plot(values, [place] * len(values), "o", color=colour, alpha=0.6)
    if values:
        axis.plot(np.mean(values), place, "|", color=colour, markersize=18)

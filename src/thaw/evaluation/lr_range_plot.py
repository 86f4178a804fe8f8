"""Plot a learning-rate range test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from thaw.system.pictures import write_figure

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.training.lr_range_test import Rates


def draw_lr_range(found: Rates, path: Path) -> None:
    """Write a plot to ``path``: the training loss, smoothed, over the head's learning rate.

    Lines mark the suggested rates.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    axis.plot(found.rates, found.losses, color="C0")
    for rate, colour, label in (
        (found.steepest, "C3", "loss falls fastest"),
        (found.tenth, "C1", "a tenth of the rate with the lowest loss"),
    ):
        axis.axvline(rate, color=colour, linestyle="--", label=f"{label}: {rate:.1e}")
    axis.set_xscale("log")
    axis.set_xlabel("learning rate of the head")
    axis.set_ylabel("training loss, smoothed (nats)")
    axis.set_title("Learning-rate range test")
    axis.legend()
    write_figure(figure, path, dpi=110, bbox_inches="tight", pad_inches=0.15)

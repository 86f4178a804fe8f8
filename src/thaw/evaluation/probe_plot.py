"""Plot how well the features of each block classify, alone and together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from matplotlib.figure import Figure

from thaw.system.pictures import write_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Probed(Protocol):
    """The values of a linear probe that are plotted."""

    @property
    def blocks(self) -> tuple[int, ...]:
        """The numbers of the blocks whose features the probe reads."""

    @property
    def accuracy(self) -> float:
        """The cross-validated accuracy."""

    @property
    def error(self) -> float:
        """The standard error of the accuracy."""


def draw(single: Sequence[Probed], joined: Sequence[Probed], path: Path) -> None:
    """Plot the accuracy by block number: of each block alone, and of it and all later blocks."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axis = figure.subplots()
    last = single[-1]
    for probes, label in ((single, "block alone"), ([*joined[::-1], last], "block to the last")):
        axis.errorbar(
            [probe.blocks[0] for probe in probes],
            [probe.accuracy for probe in probes],
            yerr=[probe.error for probe in probes],
            marker="o",
            capsize=3,
            label=label,
        )
    axis.axhline(last.accuracy, color="grey", linestyle=":", label="last block alone")
    axis.set_xticks([probe.blocks[0] for probe in single])
    axis.set_xlabel("block, from the input to the head")
    axis.set_ylabel("accuracy of a linear probe, cross-validated")
    axis.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    write_figure(figure, path, dpi=110)

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.advice.project import BLOCKS, CLASSES, open_model
from thaw.advice import linear_probes
from thaw.advice.measuring import measure, statistics_shift
from thaw.config.editing import write_values
from thaw.model.batchnorm import fold_all

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from tests.advice.project import Opened
    from thaw.advice.measurements import Measurements


def measured(opened: Opened) -> Measurements:
    return measure(opened.context, opened.classifier, opened.spec.preprocessing)


@pytest.mark.slow
def test_the_measurements_are_those_of_the_training_images(project: Path) -> None:
    opened = open_model()
    found = measured(opened)
    assert found.images == len(opened.context.data.manifest.ids("train"))
    assert (found.classes, found.blocks) == (CLASSES, BLOCKS)
    assert [probe.blocks for probe in found.block_probes] == [(n + 1,) for n in range(BLOCKS)]
    assert len(found.joint_probes) == BLOCKS - 1
    assert found.best_block.accuracy > 0.8  # the classes differ in colour
    assert found.statistics_shift is not None
    assert found.statistics_shift < 0.2
    assert not found.validation_differs


@pytest.mark.slow
def test_no_shift_is_measured_without_pretrained_weights(project: Path) -> None:
    write_values({"backbone.weights": "none"})
    found = measured(open_model())
    assert (found.statistics_shift, found.from_scratch) == (None, True)


def test_without_batch_norm_there_is_no_shift(project: Path) -> None:
    opened = open_model()
    fold_all(opened.classifier)
    assert statistics_shift(opened.context, opened.classifier, opened.spec.preprocessing) is None


@pytest.mark.slow
def test_copies_of_a_file_are_one_group_and_the_test_split_is_not_measured(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[NDArray[np.str_]] = []

    def recorded(
        features: NDArray[np.float32],
        widths: list[int],
        targets: NDArray[np.int64],
        groups: NDArray[np.str_],
        seed: int,
        *,
        show: bool,
    ) -> object:
        seen.append(groups)
        return linear_probes.probe_blocks(features, widths, targets, groups, seed, show=show)

    monkeypatch.setattr("thaw.advice.measuring.probe_blocks", recorded)
    opened = open_model()
    measured(opened)
    rows = opened.context.data.manifest.rows
    assert sorted(seen[0]) == sorted(row.digest for row in rows if row.split != "test")

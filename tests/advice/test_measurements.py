from __future__ import annotations

from typing import TYPE_CHECKING

from tests.advice.project import BLOCKS, CLASSES, open_model
from thaw.advice import linear_probes
from thaw.advice.measurements import measure, shift_of
from thaw.config.editing import write_values
from thaw.model.batchnorm import fold_all

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pytest
    from numpy.typing import NDArray

    from tests.advice.project import Opened
    from thaw.advice.recommendation import Facts


def measured(it: Opened) -> Facts:
    return measure(it.context, it.classifier, it.spec.preprocessing)


def test_the_facts_are_those_of_the_training_images(project: Path) -> None:
    it = open_model()
    facts = measured(it)
    assert facts.images == len(it.context.data.manifest.ids("train"))
    assert (facts.classes, facts.blocks) == (CLASSES, BLOCKS)
    assert [probe.blocks for probe in facts.single] == [(n + 1,) for n in range(BLOCKS)]
    assert len(facts.joined) == BLOCKS - 1
    assert facts.best.accuracy > 0.8  # colours are easily told
    assert facts.shift is not None
    assert facts.shift < 0.2
    assert not facts.is_shifted


def test_from_scratch_no_shift_is_measured(project: Path) -> None:
    write_values({"backbone.weights": "none"})
    facts = measured(open_model())
    assert (facts.shift, facts.from_scratch) == (None, True)


def test_without_batch_norm_there_is_no_shift(project: Path) -> None:
    it = open_model()
    fold_all(it.classifier)
    assert shift_of(it.context, it.classifier, it.spec.preprocessing) is None


def test_copies_of_a_file_are_one_group_and_the_test_split_is_left_out(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[NDArray[np.str_]] = []

    def noted(
        features: NDArray[np.float32],
        widths: list[int],
        targets: NDArray[np.int64],
        groups: NDArray[np.str_],
        seed: int,
        *,
        show: bool,
    ) -> object:
        seen.append(groups)
        return linear_probes.probe_all(features, widths, targets, groups, seed, show=show)

    monkeypatch.setattr("thaw.advice.measurements.probe_all", noted)
    it = open_model()
    measured(it)
    rows = it.context.data.manifest.rows
    assert sorted(seen[0]) == sorted(row.digest for row in rows if row.split != "test")

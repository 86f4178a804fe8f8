from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.advice.project import BLOCKS, open_model
from thaw.advice.tournament.candidates import Input
from thaw.advice.tournament.development import development
from thaw.advice.tournament.features import FeatureReader, output_widths
from thaw.system.project_paths import ACTIVATIONS
from thaw.training import cached_activations
from thaw.training.runtime import forward_all

if TYPE_CHECKING:
    from pathlib import Path


def reader() -> FeatureReader:
    """Return a reader of the tiny project."""
    opened = open_model()
    images = development(opened.context.data, 1000, seed=0)
    return FeatureReader(opened.context, opened.classifier, opened.spec.preprocessing, images)


def test_the_features_of_a_block_are_its_pooled_outputs_for_the_input(project: Path) -> None:
    made = reader()
    chosen = Input("squish", 48, 1.0)
    found = made.read(chosen)
    assert len(found.widths) == BLOCKS
    assert found.values.shape == (len(made.development.ids), sum(found.widths))
    source = made.development.source(chosen.of(made.preprocessing))
    last = np.concatenate(
        [
            outputs.numpy()
            for _, outputs in forward_all(
                made.context.runtime, made.classifier.part(0, BLOCKS), source, "test"
            )
        ]
    )
    assert found.of([BLOCKS]) == pytest.approx(last, rel=1e-3, abs=1e-4)
    assert found.of([1, BLOCKS]).shape[1] == found.widths[0] + found.widths[-1]


def test_each_input_is_computed_once_also_by_the_next_command(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    original = cached_activations._compute

    def recorded(*arguments: object) -> None:
        computed.append(arguments)
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cached_activations, "_compute", recorded)
    for made in (reader(), reader()):
        for size in (32, 48, 32):
            made.read(Input("crop", size, 1.0))
    assert len(computed) == 2


def test_features_of_a_part_of_a_split_are_not_kept_as_those_of_the_split(project: Path) -> None:
    opened = open_model()
    data = opened.context.data
    images = development(data, len(data.manifest.ids("train")), seed=0)
    made = FeatureReader(opened.context, opened.classifier, opened.spec.preprocessing, images)
    chosen = Input("crop", 32, 1.0)
    made.read(chosen)
    before = set(ACTIVATIONS.glob("*.npy"))
    made.share(chosen, opened.classifier)
    assert set(ACTIVATIONS.glob("*.npy")) == before


def test_a_size_that_the_network_does_not_take_is_refused(project: Path) -> None:
    made = reader()
    assert made.accepts(32)
    made.classifier.blocks[0].register_forward_pre_hook(_only_32)
    assert made.accepts(32)
    assert not made.accepts(48)


def _only_32(_module: object, inputs: tuple[object, ...]) -> None:
    assert inputs[0].shape[-1] == 32, "wrong size"  # type: ignore[attr-defined]


def test_the_widths_are_those_of_the_pooled_outputs(project: Path) -> None:
    classifier = open_model().classifier
    assert output_widths(classifier, 32)[-1] == classifier.head[-1].in_features  # type: ignore[index]

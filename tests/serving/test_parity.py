from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests import tf32
from tests.registry.served import image
from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving.parity import (
    OTHER_PIXELS_TOLERANCE,
    TOLERANCE,
    Comparison,
    compare,
    compare_from_files,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_models_that_compute_other_probabilities_are_not_equal(model: Path) -> None:
    predictor = Predictor(model)
    batches = [torch.cat([predictor.read(image(seed)) for seed in range(4)])]
    assert compare(predictor.forward, predictor.forward, batches).is_equal
    assert not compare(predictor.forward, predictor.forward, []).is_equal
    for other in (
        lambda inputs: predictor.forward(inputs) + 2e-4,
        lambda inputs: predictor.forward(inputs).flip(1),
        lambda inputs: predictor.forward(inputs) * np.nan,
    ):
        assert not compare(predictor.forward, other, batches).is_equal


@pytest.mark.parametrize("rounding", ["tf32", "bf16"])
def test_the_comparison_computes_in_float32_under_any_setting(
    model: Path, monkeypatch: pytest.MonkeyPatch, rounding: str
) -> None:
    predictor = Predictor(model)
    batches = [torch.cat([predictor.read(image(seed)) for seed in range(4)])]
    expected = predictor.forward(batches[0])
    if rounding == "tf32":
        tf32.simulate(monkeypatch)
    with torch.autocast("cpu", torch.bfloat16, enabled=rounding == "bf16"):
        assert not torch.allclose(
            predictor.forward(batches[0]).float(), expected, rtol=0, atol=1e-5
        )
        comparison = compare(predictor.forward, lambda _: expected, batches)
    assert comparison.is_equal
    assert comparison.largest_difference == 0


def test_the_message_of_a_difference_has_its_size_and_the_consequence() -> None:
    Comparison(images=4, largest_difference=1e-5, changed_labels=0).check("nothing is written")
    message = r"over 4 images a probability differs by up to 0\.02 .* 1 labels changed; it stays"
    with pytest.raises(ThawError, match=message):
        Comparison(images=4, largest_difference=0.02, changed_labels=1).check("it stays")


def found(expected: list[float], computed: list[float], *, has_same_pixels: bool) -> Comparison:
    framed = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    model, exported = (torch.tensor([row]) for row in (expected, computed))
    of_graph, of_model = compare_from_files(
        lambda _: model,
        lambda _: exported,
        lambda _: exported,
        [(framed, framed)],
        has_same_pixels=has_same_pixels,
    )
    assert of_graph.is_equal
    return of_model


def test_a_label_that_changes_between_nearly_equal_classes_is_a_tie() -> None:
    tie = found([0.495, 0.505], [0.505, 0.495], has_same_pixels=False)
    assert (tie.ties, tie.changed_labels, tie.is_equal) == (1, 0, True)
    far = found([0.4, 0.6], [0.6, 0.4], has_same_pixels=False)
    assert (far.ties, far.changed_labels, far.is_equal) == (0, 1, False)
    moved = [0.6 - 2 * OTHER_PIXELS_TOLERANCE, 0.4]
    assert not found([0.6, 0.4], moved, has_same_pixels=False).is_equal


def test_a_graph_that_differs_is_found_whatever_the_model_reads() -> None:
    same, other = torch.tensor([[0.6, 0.4]]), torch.tensor([[0.6 - 2 * TOLERANCE, 0.4]])
    of_graph, of_model = compare_from_files(
        lambda _: same, lambda _: other, lambda _: same, [(same, same)], has_same_pixels=False
    )
    assert (of_graph.is_equal, of_model.is_equal) == (False, True)


def test_a_file_with_the_pixels_of_the_model_has_its_probabilities() -> None:
    assert found([0.6, 0.4], [0.6 - TOLERANCE / 2, 0.4], has_same_pixels=True).is_equal
    assert not found([0.6, 0.4], [0.6 - 2 * TOLERANCE, 0.4], has_same_pixels=True).is_equal
    changed = found([0.499, 0.501], [0.501, 0.499], has_same_pixels=True)
    assert (changed.ties, changed.changed_labels, changed.is_equal) == (0, 1, False)

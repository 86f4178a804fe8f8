from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import tiny
from thaw.model import batchnorm
from thaw.model.channel_statistics import expected, observed
from thaw.model.drift import Drift, FoldedPlaces, Reference, statistics_after_merge

if TYPE_CHECKING:
    from thaw.model.classifier import Classifier


def images(count: int = 64, seed: int = 1) -> Tensor:
    drawn = torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    return nn.functional.avg_pool2d(drawn, 3, 1, 1) * 2


def folded(*, merge: bool = True) -> tuple[Classifier, FoldedPlaces, Reference]:
    """Return a folded network whose statistics are those of `images()`; `merge` also merges it."""
    model = tiny.classifier()
    model.train()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
            norm.momentum = None
    with torch.no_grad():
        model(images())
    norms = expected(model.eval())
    batchnorm.fold_all(model)
    names = batchnorm.affine_names(model)
    pairs = batchnorm.merge_pairs(model, images(1)) if merge else []
    norms = statistics_after_merge(norms, model, pairs)
    batchnorm.merge(model, pairs)
    places = FoldedPlaces.of(names, pairs)
    with places.watched(model) as moments, torch.inference_mode():
        model(images())
    return model, places, Reference({n: (m.mean, m.std) for n, m in moments.items()}, norms)


def look(drift: Drift, model: nn.Module, inputs: Tensor) -> None:
    """Let ``inputs`` pass, and look at as many of them as are due."""
    due = drift.due(len(inputs))
    if due:
        with drift.watch(model, due), torch.inference_mode():
            model(inputs)


def score(inputs: Tensor, *, merge: bool = True) -> float:
    model, places, reference = folded(merge=merge)
    drift = Drift(reference, places)
    for part in torch.split(inputs, 16):
        look(drift, model, part)
    assert drift.score is not None
    return drift.score


@pytest.mark.parametrize("merge", [True, False])
def test_the_training_images_score_next_to_nothing(merge: bool) -> None:
    assert score(images(), merge=merge) < 0.01


@pytest.mark.parametrize("merge", [True, False])
def test_the_expected_moments_are_those_behind_the_affine_map(merge: bool) -> None:
    """Compare moments of the training images after the merge with those the BatchNorms learnt."""
    model, places, reference = folded(merge=merge)
    assert reference.expected.keys() == reference.seen.keys()
    with (
        observed(model, places.affine, places.convolutions) as moments,
        torch.inference_mode(),
    ):
        model(images())
    for name, (mean, std) in reference.expected.items():
        np.testing.assert_allclose(moments[name].mean, mean, atol=1e-3 * std.max())
        np.testing.assert_allclose(moments[name].std, std, rtol=1e-3)
    assert reference.shift_of_training < 0.1  # every second position alone


def test_new_images_of_the_same_kind_score_low_and_shifted_ones_clearly_higher() -> None:
    same = score(images(seed=2))
    assert same < 0.1
    shifted = {
        "inverted and offset": -images(seed=2) + 1,
        "noisy": images(seed=2) + torch.randn(64, 3, 32, 32),
        "recoloured": images(seed=2) * torch.tensor([0.2, 1.0, 2.0]).view(1, 3, 1, 1),
    }
    for name, inputs in shifted.items():
        assert score(inputs) > 2 * same + 0.1, name


def test_the_reference_comes_back_from_its_tensors() -> None:
    _, _, reference = folded()
    again = Reference.of(reference.tensors())
    for kind in ("seen", "expected"):
        before, after = getattr(reference, kind), getattr(again, kind)
        assert before.keys() == after.keys()
        for name in before:
            np.testing.assert_array_equal(before[name], after[name])


@pytest.mark.parametrize("key", ["seen.mean.x", "other.mean.x", "seen"])
def test_tensors_of_something_else_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="does not hold statistics"):
        Reference.of({key: torch.zeros(2)})


def test_few_images_give_no_score() -> None:
    model, places, reference = folded()
    drift = Drift(reference, places)
    for count, known in ((31, False), (1, True)):
        look(drift, model, images(count))
        assert (drift.score is not None) == known


def test_after_256_images_one_of_16_is_looked_at() -> None:
    model, places, reference = folded()
    drift = Drift(reference, places)
    seen = []
    for _ in range(40):
        look(drift, model, images(32))
        seen.append(drift.images)
    assert seen[7] == 256
    assert 256 + 40 * 32 // 16 - 8 < seen[-1] <= 256 + 40 * 32 // 16
    assert set(np.diff(seen[8:])) == {0, 8}  # a few at a time: each look costs the same


@pytest.mark.parametrize(("total", "looked_at"), [(320, 320), (5120, 512)])
def test_images_are_sampled_evenly_if_their_number_is_known(total: int, looked_at: int) -> None:
    """Spread the samples evenly, because a folder is read class by class."""
    model, places, reference = folded()
    drift = Drift(reference, places)
    drift.spread(total)
    seen = [0]
    for _ in range(total // 32):
        look(drift, model, images(32))
        seen.append(drift.images)
    assert looked_at - 8 < seen[-1] <= looked_at
    even = np.arange(len(seen)) * looked_at / (len(seen) - 1)
    assert np.abs(np.array(seen) - even).max() <= 8


def test_the_window_forgets() -> None:
    model, places, reference = folded()
    drift = Drift(reference, places, window=64)
    scores = []
    for inputs in (images(64) * 4 + 3, images(64), images(64), images(64)):
        look(drift, model, inputs)
        scores.append(drift.score)
    assert scores[0] is not None
    assert scores[0] > 1.0
    assert scores[-1] is not None
    assert scores[-1] < 0.02
    assert drift.images <= 128


def test_a_dead_channel_is_no_unit_to_measure_by() -> None:
    reference = Reference({"x": (np.array([0.0, 0.0, 5.0]), np.array([1.0, 1.0, 0.0]))})
    tensor = torch.randn(4, 3, 8, 8)
    tensor[:, 2] = 5.0
    module = nn.Sequential()
    module.add_module("x", nn.Identity())
    with FoldedPlaces(["x"], []).watched(module) as moments:
        module(tensor)
    assert reference.score(moments) < 0.5


def test_a_copy_measures_on_without_the_original() -> None:
    model, places, reference = folded()
    drift = Drift(reference, places)
    look(drift, model, images())
    copied = copy.deepcopy(drift)
    assert copied.score == drift.score
    look(copied, model, images() + 3)
    assert copied.score != drift.score

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.advice.project import open_model
from thaw.advice.tournament.start_head import (
    of_all_classes,
    set_small_head,
    small_head,
    starts_small,
)
from thaw.training.linear_paths import LinearMap, path

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.literals import BatchNormPolicy


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("train", True), ("frozen", False), ("fixed", False), ("affine", True)],
)
def test_trainings_that_change_all_features_at_once_start_small(
    policy: BatchNormPolicy, expected: bool
) -> None:
    assert starts_small(policy) == expected


def test_a_small_head_separates_the_classes_with_small_weights() -> None:
    random = np.random.default_rng(0)
    targets = np.arange(90) % 3
    features = (random.normal(size=(90, 5)) + np.eye(5)[targets] * 2).astype(np.float32)
    small = small_head(features, targets, 3, balanced=False)
    (fitted,) = path("logistic", (features, targets), [0.1])
    assert np.abs(small.weight).max() < 0.05 * np.abs(fitted.weight).max()
    assert np.mean(small.logits(features.astype(np.float64)).argmax(axis=1) == targets) > 0.8


def test_a_class_without_images_is_the_least_likely() -> None:
    found = of_all_classes(LinearMap(np.ones((2, 4)), np.array([1.0, -1.0])), np.array([0, 2]), 3)
    assert found.weight.tolist() == [[1.0] * 4, [0.0] * 4, [1.0] * 4]
    assert found.bias.tolist() == [1.0, -1.0, -1.0]
    features = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert small_head(features, np.array([0, 2, 2]), 4, balanced=True).weight.shape == (4, 4)


def test_the_head_of_the_model_becomes_the_small_one_of_the_training_split(project: Path) -> None:
    opened = open_model()
    set_small_head(opened.context, opened.classifier, opened.spec.preprocessing)
    source = opened.context.data.images("train", opened.spec.preprocessing)
    images = source.finish(source.read(np.arange(len(source))), np.arange(len(source)), None)
    features = opened.classifier.eval().part(0, opened.classifier.outline.blocks)(images)
    expected = small_head(features.detach().numpy(), source.targets, 3, balanced=False)
    weight = next(iter(opened.classifier.head.parameters())).detach().numpy()
    assert np.allclose(weight, expected.weight, atol=1e-5)

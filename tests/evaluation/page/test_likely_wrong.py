from __future__ import annotations

import numpy as np

from thaw.evaluation.page.likely_wrong import likely_wrong


def predicted(images: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return targets in turn, and probabilities that agree with them."""
    targets = np.arange(images) % classes
    probabilities = np.full((images, classes), 0.1 / (classes - 1))
    probabilities[np.arange(images), targets] = 0.9
    return targets, probabilities


def test_a_changed_label_is_found_with_the_class_that_fits() -> None:
    targets, probabilities = predicted(60, 3)
    targets[7] = (targets[7] + 1) % 3
    (suspect,) = likely_wrong(targets, probabilities)
    assert suspect.place == 7
    assert suspect.suggested == 7 % 3
    assert suspect.likely == 0.9
    assert suspect.given == 0.05


def test_right_labels_are_not_suspect() -> None:
    assert likely_wrong(*predicted(60, 3)) == []


def test_classes_without_images_and_a_single_class_are_no_problem() -> None:
    targets, probabilities = predicted(40, 2)
    wider = np.hstack([probabilities, np.zeros((40, 2))])
    targets[3] = 0
    assert [suspect.place for suspect in likely_wrong(targets, wider)] == [3]
    assert likely_wrong(np.zeros(5, dtype=np.int64), wider[:5]) == []

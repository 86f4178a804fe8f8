"""Measurements as the tests of recommendations need them."""

from __future__ import annotations

from thaw.advice.linear_probes import Probe
from thaw.advice.measurements import MANY_IMAGES, Measurements

STANDARD_ERROR = 0.01  # of the accuracies
MANY_SIMILAR, MANY_DISSIMILAR = MANY_IMAGES["similar"], MANY_IMAGES["dissimilar"]
FEW_SIMILAR, FEW_DISSIMILAR = MANY_SIMILAR - 1, MANY_DISSIMILAR - 1


def measurements(
    per_class: int = 30, shift: float | None = 0.3, lead: float = 0.0, gain: float = 0.0
) -> Measurements:
    """Return measurements of three blocks, whose last one has an accuracy of 0.7.

    ``lead`` is the lead of the second block, ``gain`` that of all blocks together.
    """
    accuracies = [0.4, 0.7 + lead, 0.7]
    block_probes = [Probe((n,), 8, accuracies[n - 1], STANDARD_ERROR) for n in (1, 2, 3)]
    joint_probes = [
        Probe((2, 3), 16, 0.69, STANDARD_ERROR),
        Probe((1, 2, 3), 24, 0.69 + gain, STANDARD_ERROR),
    ]
    return Measurements(per_class * 4, 4, 3, block_probes, joint_probes, shift)

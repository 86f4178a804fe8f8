"""A note of the gate where the test split is too small for the margins, whatever the models are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from thaw.metrics.registry import METRICS
from thaw.promotion.gate_protections import WIDEST_MARGIN
from thaw.promotion.paired_tests import MIN_IMAGES, image_count, min_images
from thaw.promotion.rule_result import format_number
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from thaw.config.promotion_sections import Promote
    from thaw.promotion.scoring import ScoredVersion


def few_images_note(
    settings: Promote,
    challenger: ScoredVersion,
    champion: ScoredVersion | None,
    targets: NDArray[np.int64],
) -> list[str]:
    """Return a note with every way out if no model could pass the comparison, else nothing.

    There is none where nothing is compared: without a champion that can be scored here.
    ``targets`` (N,) are those of the test split.
    """
    is_same = champion and challenger.content and challenger.content == champion.content
    if champion is None or is_same or champion.probabilities is None:
        return []
    needs, margins = [], {}
    for name, margin in settings.not_worse.items():
        metric = METRICS[name]
        images = image_count(metric, targets)
        fewest = min_images(metric, margin, settings.confidence)
        if images >= fewest:
            margins[name] = margin
            continue
        of_class = " of the smallest class" if metric.limited_by_smallest_class else ""
        needs.append(f"{name} within {format_number(margin)} needs {fewest} images{of_class}")
        least = least_margin(images, settings.confidence)
        is_limited = metric.is_share_correct or images >= MIN_IMAGES
        if is_limited and least < WIDEST_MARGIN:
            margins[name] = least
    if not needs:
        return []
    ways = ["add test images and `dvc repro`", f"keep version {champion.version}"]
    if margins:
        # All of them: what params.yaml has replaces the whole default.
        written = ", ".join(f"{name}: {margin:g}" for name, margin in margins.items())
        ways.append(f"compare less strictly, now and later (promote.not_worse: {{{written}}})")
    ways.append('decide without the comparison (`--force --reason "..."`)')
    return [
        f"{quantity(len(targets), 'test image')} cannot show that any version is not worse: "
        f"{'; '.join(needs)}. Ways out: {'; '.join(ways)}"
    ]


def least_margin(images: int, confidence: float) -> float:
    """Return the least margin, in hundredths, at which two equal models on ``images`` pass.

    By the rule of three: see :func:`thaw.promotion.paired_tests.min_images`.
    """
    return math.ceil(100 * (1 - math.pow(1 - confidence, 1 / images))) / 100

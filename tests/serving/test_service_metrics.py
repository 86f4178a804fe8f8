from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tests.registry.served import image, uniform
from tests.serving.service import metric, post, running

if TYPE_CHECKING:
    from pathlib import Path


def test_the_drift_score_follows_the_images(watched: Path) -> None:
    with running(str(watched)) as url:
        assert math.isnan(metric(url, "thaw_drift"))
        same = drift_over(url, [image(n) for n in range(32)], 32)
        assert 0 <= same < 0.2
        assert drift_over(url, [uniform(255)] * 32, 64) > same + 0.3


def drift_over(url: str, images: list[bytes], count: int) -> float:
    """Send ``images`` until the score covers ``count`` of them, as not every batch is sampled."""
    files = [("image", (f"{n}.png", content)) for n, content in enumerate(images)]
    for _ in range(50):
        assert post(url, files=files).status_code == 200
        if metric(url, "thaw_drift_images") >= count:
            return metric(url, "thaw_drift")
    raise AssertionError("the score covers too few images")

from __future__ import annotations

import numpy as np

from thaw.data.loading import ActivationSource
from thaw.search.cached_views import CachedViews


def views(count: int = 3, images: int = 6) -> CachedViews:
    """Return views whose activations are the number of the view."""
    sources = [
        ActivationSource(np.full((images, 2), view, np.float32), np.arange(images))
        for view in range(count)
    ]
    return CachedViews(sources, np.arange(images) + 10, seed=1)


def drawn(source: CachedViews, indices: list[int], epoch: int | None) -> list[float]:
    array = np.array(indices)
    return list(source.finish(source.read(array), array, epoch)[:, 0].tolist())


def test_the_first_epochs_take_the_views_in_order() -> None:
    source = views()
    assert [drawn(source, [0, 5], epoch) for epoch in (1, 2, 3)] == [[0, 0], [1, 1], [2, 2]]
    assert drawn(source, [3], None) == [0]


def test_in_later_epochs_each_image_draws_a_view_independently_of_its_batch() -> None:
    source = views()
    together = [drawn(source, list(range(6)), epoch) for epoch in range(4, 14)]
    single = [[drawn(source, [n], epoch)[0] for n in range(6)] for epoch in range(4, 14)]
    assert together == single
    assert {value for epoch in together for value in epoch} == {0, 1, 2}
    assert len({tuple(epoch) for epoch in together}) > 5

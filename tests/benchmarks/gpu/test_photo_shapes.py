from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.gpu.inputs import Options
from benchmarks.gpu.photo_shapes import ENCODINGS, MANY, ONE, packs, rows, sizes

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.gpu.photo_shapes import Encoding


TINY = Options("cpu", "fp32", "timm/test_efficientnet", images=8, batch=4, rounds=1)


def test_many_sizes_are_different_and_have_the_means_of_the_one_size() -> None:
    found = sizes(512)
    assert len(set(found)) == len(found) == 512
    assert np.mean(found, axis=0) == pytest.approx([500, 375], rel=0.02)
    assert np.prod(found, axis=1).mean() == pytest.approx(500 * 375, rel=0.02)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_images_of_a_pack_have_one_size_or_many(encoding: Encoding, tmp_path: Path) -> None:
    made = packs(tmp_path / "packs", 6, encoding)
    shapes = {kind: source._store.shapes(source.ids).tolist() for kind, source in made.items()}
    assert shapes[ONE] == [[375, 500]] * 6
    assert shapes[MANY] == [[height, width] for width, height in sizes(6)]


def test_each_kind_is_measured_in_each_encoding(tmp_path: Path) -> None:
    found = {figure.name: figure.value for figure in rows([TINY], tmp_path)}
    assert all(value > 0 for value in found.values())
    for encoding in ENCODINGS:
        one, many = (
            found[f"epoch, test_efficientnet, fp32, {encoding}, {kind}"] for kind in (ONE, MANY)
        )
        ratio = found[f"epoch, test_efficientnet, fp32, {encoding}, {MANY} over one"]
        assert ratio == pytest.approx(many / one)
    kernels = [found[f"kernels that prepare a batch of 4, {kind}"] for kind in (ONE, MANY)]
    assert kernels[0] < kernels[1]

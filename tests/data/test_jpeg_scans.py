from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from thaw.data.jpeg_scans import SCAN, has_more_scans


@pytest.mark.parametrize(("progressive", "scans"), [(False, 1), (True, 10)])
def test_the_scans_of_a_file_are_counted(progressive: bool, scans: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", progressive=progressive)
    assert has_more_scans(buffer.getvalue(), scans - 1)
    assert not has_more_scans(buffer.getvalue(), scans)


@given(parts=st.lists(st.binary(max_size=5), max_size=30), number=st.integers(0, 30))
def test_the_count_is_that_of_the_marker(parts: list[bytes], number: int) -> None:
    content = SCAN.join(parts)
    assert has_more_scans(content, number) == (content.count(SCAN) > number)

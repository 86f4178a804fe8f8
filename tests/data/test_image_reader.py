from __future__ import annotations

import pickle

import pytest
import torch

from tests.data.pictures import plain
from tests.data.preprocessing import SMALL
from thaw.data.decoding import DecodeError
from thaw.data.image_reader import ImageReader


def test_an_image_becomes_the_input_of_a_model_in_any_process() -> None:
    reader = ImageReader(SMALL, 1.0)
    content = plain("PNG", "RGB", 40, 30)
    found = pickle.loads(pickle.dumps(reader)).read(content)
    assert found.shape == (1, 3, 16, 16)
    assert found.dtype == torch.uint8
    assert torch.equal(found, reader.read(content))


def test_an_image_above_the_limit_is_refused() -> None:
    with pytest.raises(DecodeError, match="megapixels"):
        ImageReader(SMALL, 0.001).read(plain("PNG", "RGB", 40, 30))

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.pictures import plain
from tests.data.preprocessing import SMALL
from thaw.data.decode_error import DecodeError
from thaw.data.image_reader import ImageReader


def test_an_image_becomes_the_input_of_a_model_in_any_process() -> None:
    reader = ImageReader(SMALL, 1.0)
    content = plain("PNG", "RGB", 40, 30)
    found = pickle.loads(pickle.dumps(reader)).read(content)
    assert found.shape == (1, 3, 16, 16)
    assert found.dtype == torch.uint8
    assert torch.equal(found, reader.read(content))


@pytest.mark.slow
def test_an_original_is_read_without_a_warning_of_torch() -> None:
    """Run it in a process of its own: torch warns once, here of any kind as an error."""
    program = (
        "import sys, warnings; warnings.simplefilter('error');"
        "from tests.data.pictures import plain; from tests.data.preprocessing import SMALL;"
        "from thaw.data.image_reader import ImageReader;"
        "read = ImageReader(SMALL, 1.0).read_original;"
        "print(*(tuple(read(plain(k, 'RGB', 40, 30)).shape) for k in sys.argv[1:]), sep='\\n')"
    )
    command = [sys.executable, "-c", program, "PNG", "GIF", "JPEG"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "(1, 3, 30, 40)\n" * 3), result.stderr


def test_an_image_above_the_limit_is_refused() -> None:
    with pytest.raises(DecodeError, match="megapixels"):
        ImageReader(SMALL, 0.001).read(plain("PNG", "RGB", 40, 30))


@pytest.mark.parametrize(
    ("values", "pixel_range", "reason"),
    [
        ([[-5, 9]], "type", "values from -5 to 9 are outside of 0 to 65535, the range for samples"),
        ([[0, 5000]], (0, 4095), "0 to 5000 are outside of the range 0 to 4095: correct the image"),
        ([[0.5, 9]], "type", "no defined range: save the image with 8 or 16 bits"),
    ],
)  # fmt: skip
def test_a_refusal_names_no_parameter_that_a_finished_model_ignores(
    values: list[Any], pixel_range: Any, reason: str
) -> None:
    kind = "f4" if isinstance(values[0][0], float) else "i4"
    stream = io.BytesIO()
    Image.fromarray(np.array(values, kind)).save(stream, "TIFF")
    reader = ImageReader(SMALL.model_copy(update={"pixel_range": pixel_range}), 1.0)
    for read in (reader.read, reader.read_original):
        with pytest.raises(DecodeError) as raised:
            read(stream.getvalue())
        assert reason in str(raised.value)
        assert "prepare" not in str(raised.value)

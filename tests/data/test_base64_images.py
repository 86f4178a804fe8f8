from __future__ import annotations

import base64
from typing import Any

import pytest

from thaw.data.base64_images import decode_base64


def test_line_breaks_of_the_command_base64_are_accepted() -> None:
    content = bytes(range(256))
    assert decode_base64(base64.encodebytes(content).decode()) == content


@pytest.mark.parametrize("text", ["/etc/passwd", "a", "é", "QUJD!", None, 7.5, ["QUJD"], b"QUJD"])
def test_values_that_are_not_base64_text_are_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"^not base64$"):
        decode_base64(text)


def test_an_address_that_holds_its_data_is_refused_with_what_to_leave_out() -> None:
    with pytest.raises(ValueError, match=r"^not base64: leave out its start"):
        decode_base64("data:image/png;base64,QUJD")

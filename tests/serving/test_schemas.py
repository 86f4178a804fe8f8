from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from thaw.serving.schemas import PredictRequest, check_count, explain


def read(content: Any) -> list[bytes]:
    sent = PredictRequest.model_validate_json(json.dumps(content))
    return [sent.image] if sent.is_one_image else sent.images


def test_one_image_and_a_list_are_accepted() -> None:
    assert read({"image": "QUJD", "other": 1}) == [b"ABC"]
    assert read({"images": ["QUJD", "QQ=="]}) == [b"ABC", b"A"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"image": "QUJD", "images": []}, "the JSON must have 'image'"),
        ({"image": 7}, "not base64"),
        ({"images": {}}, "'images' must be a list of base64"),
        ({"images": ["QUJD", "?", 7]}, "image 1: not base64"),
        ({"images": []}, "0 images: send 1 to 32"),
        ({"images": [0] * 1_000_000}, "1000000 images: send 1 to 32"),
    ],
)
def test_the_reason_of_a_refusal_is_one_line(content: Any, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(content)
    assert explain(caught.value).startswith(reason)
    assert caught.value.error_count() == 1


def test_the_number_of_images_is_limited() -> None:
    check_count(1)
    check_count(32)
    with pytest.raises(ValueError, match="33 images: send 1 to 32"):
        check_count(33)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests

from tests.data.deep_pictures import tiff
from tests.registry.served import CLASSES, image, text
from tests.serving.service import (
    PNG,
    assert_refused,
    metric,
    post,
    running,
    start_request,
    wait_for,
)
from thaw.model.predictor import Predictor

if TYPE_CHECKING:
    from pathlib import Path

GOOD = image()
FORMS: dict[str, dict[str, Any]] = {
    "form": {"files": {"image": ("a.png", GOOD, "image/png")}},
    "json, one": {"json": {"image": text(GOOD)}},
    "json, list": {"json": {"images": [text(GOOD)]}},
    "image": {"data": GOOD, "headers": PNG},
    "bytes": {"data": GOOD, "headers": {"Content-Type": "application/octet-stream"}},
}


@pytest.mark.parametrize("form", FORMS)
def test_an_image_is_predicted_in_each_form_of_request(form: str, url: str, model: Path) -> None:
    answer = post(url, **FORMS[form])
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["predictions"]
    (expected,) = Predictor(model).probabilities([GOOD]).tolist()
    assert list(found["probabilities"]) == CLASSES
    assert list(found["probabilities"].values()) == pytest.approx(expected, abs=1e-5)
    assert found["label"] == CLASSES[expected.index(max(expected))]
    assert found["probability"] == pytest.approx(max(expected), abs=1e-5)
    assert answer.json()["digest"] == Predictor(model).spec.digest


def test_several_images_are_predicted_in_their_order(url: str, model: Path) -> None:
    images = [image(seed) for seed in range(5)]
    expected = Predictor(model).probabilities(images).tolist()
    files = [("image", (f"{n}.png", content)) for n, content in enumerate(images)]
    for answer in (post(url, files=files), post(url, json={"images": list(map(text, images))})):
        found = [list(row["probabilities"].values()) for row in answer.json()["predictions"]]
        for row, wanted in zip(found, expected, strict=True):
            assert row == pytest.approx(wanted, abs=1e-5)


def test_health_names_the_model_and_its_classes(url: str, model: Path) -> None:
    health = requests.get(f"{url}/healthz", timeout=60)
    assert health.status_code == 200
    assert health.json() == {
        "status": "ok",
        "model": str(model),
        "digest": Predictor(model).spec.digest,
        "classes": CLASSES,
    }


def test_metrics_count_the_requests(url: str, model: Path) -> None:
    digest = Predictor(model).spec.digest
    post(url, data=GOOD, headers=PNG)
    assert metric(url, f'thaw_model_info{{digest="{digest}",name="{model}"}}') == 1
    assert metric(url, 'thaw_requests_total{status="200"}') > 0
    assert metric(url, "thaw_request_seconds_count") > 0
    assert metric(url, "thaw_waiting_images") == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/predict"), ("POST", "/"), ("GET", "/redoc"), ("POST", "/predict/")],
)
def test_another_address_or_method_is_refused(url: str, method: str, path: str) -> None:
    answer = requests.request(method, f"{url}{path}", timeout=60)
    assert answer.status_code in {404, 405}
    error = answer.json()["error"]
    assert error.startswith(f"there is no {method} {path}: POST /predict classifies images; ")


def test_more_images_than_the_queue_takes_are_refused_until_others_are_answered(
    model: Path,
) -> None:
    with running(str(model), queue=2, timeout=5.0) as url:
        slow = [start_request(url, GOOD, 0) for _ in range(2)]
        wait_for(url, "thaw_waiting_images", 2)
        answer = post(url, data=GOOD, headers=PNG)
        assert_refused(answer, 429, "try again")
        assert answer.headers["Retry-After"] == "1"
        for connection in slow:
            connection.send(GOOD)
            assert connection.getresponse().status == 200
        assert post(url, data=GOOD, headers=PNG).status_code == 200
        assert metric(url, 'thaw_requests_total{status="429"}') == 1
        assert metric(url, "thaw_waiting_images") == 0
        # A second attempt would not help, so the status is another one.
        assert_refused(post(url, json={"images": [text(GOOD)] * 3}), 413, "send at most 2 at once")


def test_more_bytes_than_the_limit_of_all_bodies_are_refused_until_others_are_answered(
    model: Path,
) -> None:
    large = image(size=300)
    limit = 1.5 * len(large) / 1e6
    with running(str(model), bodies=limit, max_megabytes=limit, timeout=5.0) as url:
        slow = start_request(url, large, len(large) - 1)
        wait_for(url, "thaw_waiting_images", 1)
        answer = post(url, data=large, headers=PNG)
        assert_refused(answer, 429, "try again")
        assert answer.headers["Retry-After"] == "1"
        assert post(url, data=GOOD, headers=PNG).status_code == 200
        slow.send(large[-1:])
        assert slow.getresponse().status == 200
        for _ in range(3):  # the bytes of answered requests are free again
            assert post(url, data=large, headers=PNG).status_code == 200


def test_one_request_may_be_larger_than_the_limit_of_all_bodies(model: Path) -> None:
    with running(str(model), bodies=0.001, max_megabytes=1.0) as url:
        assert post(url, data=GOOD, headers=PNG).status_code == 200


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (
            np.array([[-5, 9]], "i4"),
            "values from -5 to 9 are outside of 0 to 65535, the range for samples of 16 "
            "and 32 bits",
        ),
        (
            np.array([[0.5, 9]], "f4"),
            "floating-point pixels have no defined range: save the image with 8 or 16 bits",
        ),
    ],
)
def test_values_outside_of_the_range_of_the_model_are_refused_without_names_of_parameters(
    url: str, values: np.typing.NDArray[Any], reason: str
) -> None:
    answer = post(url, data=tiff(values), headers={"Content-Type": "image/tiff"})
    assert answer.status_code == 400
    assert answer.json()["error"] == reason

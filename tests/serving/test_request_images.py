from __future__ import annotations

import gzip
import io
import sys
from typing import TYPE_CHECKING, Any

import pytest
import requests
from PIL import Image

from tests.data.peak import rise
from tests.data.pictures import plain
from tests.registry.served import image, text
from tests.serving.service import JSON, PNG, assert_refused, post, running, start_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = image()


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"data": b"", "headers": PNG}, 400, "the file is empty"),
        ({"data": b"<html>", "headers": PNG}, 400, "not an image"),
        ({"data": GOOD[:300], "headers": PNG}, 400, "cannot be decoded"),
        ({"data": image(size=200)[:-20] * 2, "headers": PNG}, 413, "larger than 0.2 MB"),
        ({"json": {"images": [text(GOOD), "/etc/passwd"]}}, 400, "image 1: not base64"),
        ({"json": {"images": [text(GOOD), text(b"<html>")]}}, 400, "image 1: not an image"),
        ({"json": {"images": []}}, 400, "0 images: send 1 to 32"),
        ({"json": {"images": [text(b"x")] * 33}}, 400, "33 images: send 1 to 32"),
        ({"json": {"images": text(GOOD)}}, 400, "must be a list"),
        ({"json": {"image": None}}, 400, "not base64"),
        ({"json": {"image": 7.5}}, 400, "not base64"),
        ({"json": {"inputs": []}}, 400, "must have 'image'"),
        ({"json": []}, 400, "must have 'image'"),
        ({"data": "NaN", "headers": JSON}, 400, "must have"),
        ({"data": "{", "headers": JSON}, 400, "not JSON"),
        ({"data": b"\xff\xfe", "headers": JSON}, 400, "not JSON"),
        ({"data": "[" * 90_000, "headers": JSON}, 400, "not JSON"),
        ({"data": "x", "headers": {"Content-Type": "multipart/form-data"}}, 400, ""),
        ({"data": "x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 400, ""),
        ({"files": {"image": ("", "")}, "data": {"a": "b"}}, 400, ""),
        (
            {"data": "a,b\n1,2,3", "headers": {"Content-Type": "text/csv"}},
            415,
            "Type is text/csv: send a form with files (multipart/form-data), JSON with base64 "
            "texts in the list 'images' (application/json), or an image as the body",
        ),
        ({"data": GOOD}, 415, "the Content-Type is missing: send a form"),
        (
            {"data": gzip.compress(GOOD), "headers": PNG | {"Content-Encoding": "gzip"}},
            415,
            "the Content-Encoding is gzip: send the body as it is",
        ),
        (
            {"files": {"image": (None, text(GOOD))}},
            400,
            "send each image as a part with a filename",
        ),
        (
            {"json": {"image": "data:image/png;base64," + text(GOOD)}},
            400,
            "not base64: leave out its start, up to the comma",
        ),
    ],
)
def test_malformed_requests_are_refused_with_a_reason(
    body: dict[str, Any], status: int, reason: str, url: str
) -> None:
    assert_refused(post(url, **body), status, reason)
    assert post(url, data=GOOD, headers=PNG).status_code == 200


@pytest.mark.parametrize(
    ("body", "start"),
    [
        ({"data": b"<html>", "headers": PNG}, ""),
        ({"json": {"image": text(b"<html>")}}, ""),
        ({"json": {"images": [text(b"<html>")]}}, "image 0: "),
        ({"files": [("image", ("rose.png", b"<html>"))]}, "rose.png: "),
        ({"files": [("image", ("a.png", GOOD)), ("image", ("b.png", b"<html>"))]}, "b.png: "),
        ({"files": [("image", ("a.png", GOOD)), ("image", ("a.png", b"<html>"))]}, "image 1: "),
        ({"files": [("image", ("\x1b[2J.png", b"<html>"))]}, "\\x1b[2J.png: "),
        ({"files": [("image", ("n" * 1000, b"<html>"))]}, "n" * 100 + ": "),
    ],
)
def test_a_refusal_names_the_image_as_its_sender_does(
    body: dict[str, Any], start: str, url: str
) -> None:
    answer = post(url, **body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{start}not an image: an HTML page")


def test_an_image_of_many_pixels_is_refused_by_its_header(url: str) -> None:
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "PNG")  # 100 megapixels in 12 kB
    reason = "10000 x 10000 pixels, more than the limit of 0.5 megapixels: shrink"
    answer = post(url, data=buffer.getvalue(), headers=PNG)
    assert_refused(answer, 400, reason)
    assert "prepare" not in answer.text  # a client cannot change this parameter


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux records the peak of the memory")
def test_thin_images_are_refused_with_a_reason_and_take_little_memory(model: Path) -> None:
    # The last image has few pixels, and would have many when it is enlarged.
    shapes = [(1, 200_000), (200_000, 1), (1, 1_000_000), (900_000, 1), (3000, 256), (1, 100)]
    answers: list[requests.Response] = []
    with running(str(model)) as url:
        post(url, data=plain("PNG", "RGB", 40, 30), headers=PNG)  # allocates what stays allocated
        for shape in shapes:
            content = plain("PNG", "L", *shape)
            megabytes = rise(lambda: answers.append(post(url, data=content, headers=PNG)))  # noqa: B023
            assert megabytes < 300
    assert [answer.status_code for answer in answers] == [400, 400, 400, 400, 200, 200]
    for (width, height), answer in zip(shapes[:4], answers, strict=False):
        reason = f"{width} x {height} pixels: one side is more than 100 times the other"
        assert_refused(answer, 400, reason)


def test_a_body_without_a_declared_length_is_cut_off_at_the_limit(url: str) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 10_000

    try:
        answer = requests.post(f"{url}/predict", data=endless(), headers=PNG, timeout=60)
    except requests.ConnectionError:
        return  # the service closed the connection while the body was sent, which is fine
    assert_refused(answer, 413, "larger than")


def test_a_slow_client_gets_a_timeout(model: Path) -> None:
    with running(str(model), timeout=0.2) as url:
        assert start_request(url, GOOD, 3).getresponse().status == 408

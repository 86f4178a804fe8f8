from __future__ import annotations

import http.client
import json
import math
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.data.peak import environment
from tests.data.pictures import plain
from tests.project import ROOT
from tests.registry.served import CLASSES, image, model_directory, text, uniform
from tests.serving.service import metric, running
from thaw.model import directory
from thaw.model.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = image()


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    with running(str(model), max_megabytes=0.2, max_megapixels=0.5) as address:
        yield address


def post(url: str, **kind: Any) -> requests.Response:
    return requests.post(f"{url}/predict", timeout=30, **kind)


def assert_refused(answer: requests.Response, status: int, reason: str) -> None:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert reason in answer.json()["error"]
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text


# What is predicted

FORMS: dict[str, dict[str, Any]] = {
    "form": {"files": {"image": ("a.png", GOOD, "image/png")}},
    "json, one": {"json": {"image": text(GOOD)}},
    "json, list": {"json": {"images": [text(GOOD)]}},
    "image": {"data": GOOD, "headers": {"Content-Type": "image/png"}},
    "bytes": {"data": GOOD, "headers": {"Content-Type": "application/octet-stream"}},
}


@pytest.mark.parametrize("form", FORMS)
def test_an_image_is_predicted_however_it_is_sent(form: str, url: str, model: Path) -> None:
    answer = post(url, **FORMS[form])
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["predictions"]
    (expected,) = Predictor(model).probabilities([GOOD]).tolist()
    assert list(found["probabilities"]) == CLASSES
    assert list(found["probabilities"].values()) == pytest.approx(expected, abs=1e-5)
    assert found["label"] == CLASSES[expected.index(max(expected))]
    assert found["probability"] == pytest.approx(max(expected), abs=1e-5)
    assert answer.json()["digest"] == Predictor(model).spec.digest


def test_several_images_come_back_in_their_order(url: str, model: Path) -> None:
    images = [image(seed) for seed in range(5)]
    expected = Predictor(model).probabilities(images).tolist()
    files = [("image", (f"{n}.png", content)) for n, content in enumerate(images)]
    for answer in (post(url, files=files), post(url, json={"images": list(map(text, images))})):
        found = [list(row["probabilities"].values()) for row in answer.json()["predictions"]]
        for row, wanted in zip(found, expected, strict=True):
            assert row == pytest.approx(wanted, abs=1e-5)


def test_concurrent_requests_share_batches_and_get_their_own_answers(url: str, model: Path) -> None:
    images = [image(seed) for seed in range(64)]
    expected = Predictor(model).probabilities(images).tolist()
    before = metric(url, "thaw_batch_images_count")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda content: post(url, data=content, headers=PNG), images))
    for answer, wanted in zip(answers, expected, strict=True):
        (found,) = answer.json()["predictions"]
        assert list(found["probabilities"].values()) == pytest.approx(wanted, abs=1e-5)
    assert metric(url, "thaw_batch_images_count") - before < 64


PNG = {"Content-Type": "image/png"}

# What is refused (FAULTS row 34)


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ({"data": b"", "headers": PNG}, 400, "image 0: the file is empty"),
        ({"data": b"<html>", "headers": PNG}, 400, "image 0: not an image"),
        ({"data": GOOD[:300], "headers": PNG}, 400, "image 0: cannot be decoded"),
        ({"data": image(size=200)[:-20] * 2, "headers": PNG}, 413, "larger than 0.2 MB"),
        ({"json": {"images": [text(GOOD), "/etc/passwd"]}}, 400, "image 1: not base64"),
        ({"json": {"images": [text(GOOD), text(b"<html>")]}}, 400, "image 1: not an image"),
        ({"json": {"images": []}}, 400, "0 images: send 1 to 32"),
        ({"json": {"images": [text(b"x")] * 33}}, 400, "33 images: send 1 to 32"),
        ({"json": {"images": text(GOOD)}}, 400, "must be a list"),
        ({"json": {"image": None}}, 400, "image 0: not base64"),
        ({"json": {"image": 7.5}}, 400, "image 0: not base64"),
        ({"json": {"inputs": []}}, 400, "must have 'image'"),
        ({"json": []}, 400, "must have 'image'"),
        ({"data": "NaN", "headers": {"Content-Type": "application/json"}}, 400, "must have"),
        ({"data": "{", "headers": {"Content-Type": "application/json"}}, 400, "not JSON"),
        ({"data": b"\xff\xfe", "headers": {"Content-Type": "application/json"}}, 400, "not JSON"),
        ({"data": "[" * 90_000, "headers": {"Content-Type": "application/json"}}, 400, "not JSON"),
        ({"data": "x", "headers": {"Content-Type": "multipart/form-data"}}, 400, ""),
        (
            {"data": "x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
            400,
            "",
        ),
        ({"files": {"image": ("", "")}, "data": {"a": "b"}}, 400, ""),
        ({"data": "a,b\n1,2,3", "headers": {"Content-Type": "text/csv"}}, 415, "send a form"),
        ({"data": GOOD}, 415, "send a form"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason_and_without_a_traceback(
    kind: dict[str, Any], status: int, reason: str, url: str
) -> None:
    assert_refused(post(url, **kind), status, reason)
    assert post(url, data=GOOD, headers=PNG).status_code == 200


def test_an_image_of_many_pixels_is_refused_by_its_header(url: str) -> None:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "PNG")  # 100 megapixels in 12 kB
    said = "10000 x 10000 pixels, more than the 0.5 megapixels that are accepted: shrink"
    answer = post(url, data=buffer.getvalue(), headers=PNG)
    assert_refused(answer, 400, said)
    assert "prepare" not in answer.text  # the knob is not the client's


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel keeps the mark")
def test_thin_images_are_refused_with_a_reason_and_take_little_memory(
    model: Path, tmp_path: Path
) -> None:
    # the last one has few pixels, and would have many when it is enlarged
    shapes = [(1, 200_000), (200_000, 1), (1, 1_000_000), (900_000, 1), (3000, 256), (1, 100)]
    files = [tmp_path / f"{width}x{height}.png" for width, height in shapes]
    for file, shape in zip(files, shapes, strict=True):
        file.write_bytes(plain("PNG", "L", *shape))
    command = [sys.executable, "-m", "tests.serving.peak", str(model), *map(str, files)]
    done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT, env=environment())
    told = json.loads(done.stdout.splitlines()[-1])
    assert [status for status, _, _ in told] == [400, 400, 400, 400, 200, 200]
    for (width, height), (_, answer, _) in zip(shapes[:4], told, strict=False):
        said = f"image 0: {width} x {height} pixels: one side is more than 100 times the other"
        assert answer["error"].startswith(said)
    assert max(megabytes for _, _, megabytes in told) < 300


def test_a_body_that_never_says_how_long_it_is_is_cut_off(url: str) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 10_000

    try:
        answer = requests.post(f"{url}/predict", data=endless(), headers=PNG, timeout=30)
    except requests.ConnectionError:
        return  # closed while the body was still being sent: as good
    assert_refused(answer, 413, "larger than")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/predict"), ("POST", "/"), ("GET", "/redoc")]
)
def test_another_address_or_method_is_refused(url: str, method: str, path: str) -> None:
    answer = requests.request(method, f"{url}{path}", timeout=10)
    assert answer.status_code in {404, 405}
    assert list(answer.json()) == ["error"]


def test_a_slow_client_is_given_up(model: Path) -> None:
    with running(str(model), timeout=0.3) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            slow.sendall(f"{head}Content-Length: 100\r\n\r\nabc".encode())
            slow.settimeout(10)
            assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_when_too_many_wait_the_next_is_told_to_come_again(model: Path) -> None:
    with running(str(model), queue=2, timeout=2.0) as url:
        host, port = url.removeprefix("http://").split(":")
        slow = []
        for _ in range(2):
            connection = http.client.HTTPConnection(host, int(port))
            connection.putrequest("POST", "/predict")
            connection.putheader("Content-Type", "image/png")
            connection.putheader("Content-Length", str(len(GOOD)))
            connection.endheaders()
            slow.append(connection)
        time.sleep(0.3)
        answer = post(url, data=GOOD, headers=PNG)
        assert_refused(answer, 429, "try again")
        assert answer.headers["Retry-After"] == "1"
        for connection in slow:
            connection.send(GOOD)
            assert connection.getresponse().status == 200
        assert post(url, data=GOOD, headers=PNG).status_code == 200
        assert metric(url, 'thaw_requests_total{status="429"}') == 1
        assert metric(url, "thaw_waiting_images") == 0
        # to come again would not help
        assert_refused(post(url, json={"images": [text(GOOD)] * 3}), 413, "send at most 2 at once")


def test_when_the_bodies_inside_are_too_many_bytes_the_next_is_told_to_come_again(
    model: Path,
) -> None:
    large = image(size=300)
    most = 1.5 * len(large) / 1e6
    with running(str(model), bodies=most, max_megabytes=most, timeout=5.0) as url:
        host, port = url.removeprefix("http://").split(":")
        slow = http.client.HTTPConnection(host, int(port))
        slow.putrequest("POST", "/predict")
        slow.putheader("Content-Type", "image/png")
        slow.putheader("Content-Length", str(len(large)))
        slow.endheaders()
        slow.send(large[:-1])
        time.sleep(0.3)
        answer = post(url, data=large, headers=PNG)
        assert_refused(answer, 429, "try again")
        assert answer.headers["Retry-After"] == "1"
        assert post(url, data=GOOD, headers=PNG).status_code == 200
        slow.send(large[-1:])
        assert slow.getresponse().status == 200
        for _ in range(3):  # what was taken is given back
            assert post(url, data=large, headers=PNG).status_code == 200


def test_a_request_that_is_larger_than_the_room_for_bodies_has_the_house_to_itself(
    model: Path,
) -> None:
    with running(str(model), bodies=0.001, max_megabytes=1.0) as url:
        assert post(url, data=GOOD, headers=PNG).status_code == 200


def test_a_model_that_gives_nan_is_an_internal_error_and_the_service_lives(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Predictor.forward
    with running(str(model)) as url:
        monkeypatch.setattr(Predictor, "forward", lambda *a, **k: forward(*a, **k) * float("nan"))
        assert_refused(post(url, data=GOOD, headers=PNG), 500, "internal error")
        monkeypatch.undo()
        assert post(url, data=GOOD, headers=PNG).status_code == 200


# What watches over it


def test_health_and_metrics_say_which_model_answers(url: str, model: Path) -> None:
    digest = Predictor(model).spec.digest
    health = requests.get(f"{url}/healthz", timeout=10)
    assert health.status_code == 200
    assert health.json() == {
        "status": "ok",
        "model": str(model),
        "digest": digest,
        "classes": CLASSES,
    }
    post(url, data=GOOD, headers=PNG)
    assert metric(url, f'thaw_model_info{{digest="{digest}",name="{model}"}}') == 1
    assert metric(url, 'thaw_requests_total{status="200"}') > 0
    assert metric(url, "thaw_request_seconds_count") > 0
    assert metric(url, "thaw_waiting_images") == 0


def test_answers_cannot_be_framed_sniffed_or_kept(url: str) -> None:
    headers = requests.get(url, timeout=10).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_the_drift_of_what_passes_is_told(watched: Path) -> None:
    with running(str(watched)) as url:
        assert math.isnan(metric(url, "thaw_drift"))
        same = watched_over(url, [image(n) for n in range(32)], 32)
        assert 0 <= same < 0.2
        assert watched_over(url, [uniform(255)] * 32, 64) > same + 0.3


def watched_over(url: str, images: list[bytes], count: int) -> float:
    """The drift score when it is over ``count`` images: not every batch is looked at."""
    files = [("image", (f"{n}.png", content)) for n, content in enumerate(images)]
    for _ in range(50):
        assert post(url, files=files).status_code == 200
        if metric(url, "thaw_drift_images") >= count:
            return metric(url, "thaw_drift")
    raise AssertionError("nothing was looked at")


# The model that takes over


def exchange(model: Path, other: Path) -> None:
    """Put another model in the place of ``model``, as an alias that moves does."""
    for name in (directory.WEIGHTS, directory.SPEC):
        shutil.copy(other / name, model / f"{name}.new")
    for name in (directory.WEIGHTS, directory.SPEC):
        (model / f"{name}.new").rename(model / name)


def test_a_new_model_takes_over_and_no_request_is_dropped(tmp_path: Path) -> None:
    live, other = tmp_path / "live", tmp_path / "other"
    digests = [model_directory(live, seed=0).digest, model_directory(other, seed=1).digest]
    expected = {
        digest: Predictor(folder).probabilities([GOOD]).tolist()[0]
        for digest, folder in zip(digests, (live, other), strict=True)
    }
    answers: list[tuple[int, dict[str, Any]]] = []
    stop = threading.Event()

    def ask(url: str) -> None:
        session = requests.Session()
        while not stop.is_set():
            answer = session.post(f"{url}/predict", data=GOOD, headers=PNG, timeout=30)
            answers.append((answer.status_code, answer.json()))

    with running(str(live)) as url:
        threads = [threading.Thread(target=ask, args=(url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        exchange(live, other)
        end = time.monotonic() + 20
        while answers[-1][1].get("digest") != digests[1] and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.2)
        stop.set()
        for thread in threads:
            thread.join()
        assert metric(url, "thaw_reloads_total") == 1
    assert {status for status, _ in answers} == {200}
    assert {answer["digest"] for _, answer in answers} == set(digests)
    for _, answer in answers:  # each answer is wholly of the model that it names
        given = list(answer["predictions"][0]["probabilities"].values())
        assert given == pytest.approx(expected[answer["digest"]], abs=1e-5)


def test_a_model_that_cannot_be_loaded_changes_nothing(tmp_path: Path) -> None:
    model_directory(tmp_path / "live")
    with running(str(tmp_path / "live")) as url:
        spec = tmp_path / "live" / directory.SPEC
        spec.write_text(spec.read_text().replace("cat", "dog"))
        end = time.monotonic() + 10
        while metric(url, "thaw_reload_failures_total") == 0 and time.monotonic() < end:
            time.sleep(0.05)
        assert metric(url, "thaw_reload_failures_total") > 0
        assert post(url, data=GOOD, headers=PNG).status_code == 200
        assert json.loads(requests.get(f"{url}/healthz", timeout=10).text)["classes"] == CLASSES

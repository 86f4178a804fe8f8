from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from tests.registry.served import image
from tests.serving.service import PNG, assert_refused, metric, post, running
from thaw.model.predictor import Predictor
from thaw.serving.middleware import SECURITY_HEADERS

if TYPE_CHECKING:
    from pathlib import Path


def test_every_answer_has_the_security_headers(url: str) -> None:
    for path in ("/", "/healthz", "/missing"):
        headers = requests.get(f"{url}{path}", timeout=60).headers
        assert SECURITY_HEADERS.items() <= headers.items()


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/healthz", "/metrics", "/openapi.json", "/docs/files/favicon.png", "/no"],
)
def test_head_is_answered_as_get_without_the_body(url: str, path: str) -> None:
    head, got = (requests.request(method, f"{url}{path}", timeout=60) for method in ("HEAD", "GET"))
    assert head.status_code == got.status_code
    assert head.headers.keys() == got.headers.keys()
    assert head.content == b""
    assert got.content


def test_an_error_of_the_model_is_an_internal_error_and_the_service_continues(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Predictor.forward
    with running(str(model)) as url:
        monkeypatch.setattr(Predictor, "forward", lambda *a, **k: forward(*a, **k) * float("nan"))
        assert_refused(post(url, data=image(), headers=PNG), 500, "internal error")
        monkeypatch.undo()
        assert post(url, data=image(), headers=PNG).status_code == 200
        assert metric(url, 'thaw_requests_total{status="500"}') == 1

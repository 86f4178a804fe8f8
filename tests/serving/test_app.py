from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import pytest
import requests
import torch

from thaw.serving import app
from thaw.serving.compute_device import Computing
from thaw.serving.schemas import Health, PredictResponse
from thaw.serving.service_metrics import ServiceMetrics
from thaw.serving.settings import Settings

if TYPE_CHECKING:
    from thaw.serving.batching import BatchingEngine


@pytest.fixture(scope="module")
def schema(url: str) -> dict[str, Any]:
    content: dict[str, Any] = requests.get(f"{url}/openapi.json", timeout=60).json()
    return content


def test_the_schema_describes_every_endpoint(schema: dict[str, Any]) -> None:
    assert set(schema["paths"]) == {"/predict", "/healthz", "/metrics"}
    assert schema["openapi"].startswith("3.1")


def test_endpoints_are_beside_the_schema_where_a_proxy_serves_it_below_a_path(
    schema: dict[str, Any],
) -> None:
    (server,) = schema["servers"]
    base = urljoin("https://host/flowers/openapi.json", server["url"])
    assert base == "https://host/flowers/"


def test_the_schema_describes_requests_and_answers(schema: dict[str, Any]) -> None:
    predict = schema["paths"]["/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {
        *("application/json", "multipart/form-data", "image/*", "application/octet-stream")
    }
    json_body = predict["requestBody"]["content"]["application/json"]["schema"]
    assert set(json_body["properties"]) == {"image", "images"}
    assert set(predict["responses"]) == {*("200", "400", "408", "413", "415", "429", "500", "503")}
    models = schema["components"]["schemas"]
    assert set(models["PredictResponse"]["properties"]) == set(PredictResponse.model_fields)
    assert set(models["Health"]["properties"]) == set(Health.model_fields)


def test_the_answers_are_valid_by_the_schema(url: str) -> None:
    Health.model_validate(requests.get(f"{url}/healthz", timeout=60).json())


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_the_engine_knows_on_what_the_model_computes(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[bool] = []

    def engine(*_: Any, is_on_gpu: bool) -> BatchingEngine:
        given.append(is_on_gpu)
        raise InterruptedError

    monkeypatch.setattr(app, "BatchingEngine", engine)
    monkeypatch.setattr(ServiceMetrics, "show_model", lambda *_: None)
    settings = Settings(computing=Computing(torch.device(device)))
    model: Any = None  # no model computes here
    made = app.create_app("", model, settings)

    async def start() -> None:
        async with made.router.lifespan_context(made):
            pass

    with pytest.raises(InterruptedError):
        asyncio.run(start())
    assert given == [device == "cuda"]

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from thaw.serving.schemas import Health, PredictResponse

if TYPE_CHECKING:
    from typing import Any
from urllib.parse import urljoin


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

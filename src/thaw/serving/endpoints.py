"""The endpoints of the service: predictions, health and metrics."""

# FastAPI reads the annotations of endpoints, so this module has no postponed annotations.

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from starlette.requests import ClientDisconnect

from thaw.data.decode_error import DecodeError
from thaw.serving.batching import BatchingEngine, ImageProbabilities
from thaw.serving.budget import Budget, BudgetExceededError, Reservation
from thaw.serving.request_images import read_images
from thaw.serving.schemas import ErrorResponse, Health, Prediction, PredictRequest, PredictResponse
from thaw.serving.service_metrics import ServiceMetrics
from thaw.serving.settings import Settings

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_BINARY = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "properties": {"image": {"type": "array", "items": _BINARY}}}


@dataclass
class Service:
    """The state that the endpoints share; ``engine`` is set while the application runs."""

    settings: Settings
    metrics: ServiceMetrics
    images: Budget
    body_bytes: Budget
    engine: BatchingEngine = field(init=False)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


CurrentService = Annotated[Service, Depends(_service)]
router = APIRouter()


def request_body() -> dict[str, Any]:
    """Return the OpenAPI description of the three forms of a body.

    FastAPI does not read the body, because it has no limit of its size; so it cannot describe it.
    """
    schema = PredictRequest.model_json_schema()
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema},
                "multipart/form-data": {"schema": _FORM},
                "image/*": {"schema": _BINARY},
                "application/octet-stream": {"schema": _BINARY},
            },
        }
    }


def _errors(**reasons: str) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI responses: ``_400="reason"`` becomes a response with status 400."""
    return {
        int(status.lstrip("_")): {"model": ErrorResponse, "description": reason}
        for status, reason in reasons.items()
    }


@router.post(
    "/predict",
    openapi_extra=request_body(),
    responses=_errors(
        _400="The request is malformed, or an image cannot be decoded",
        _408="The body did not arrive in time",
        _413="The request is too large, or has more images than the queue takes",
        _415="The content type or encoding is unknown",
        _429="Too many images are waiting: try again after the seconds in `Retry-After`",
        _500="Internal error",
        _503="There was no answer in time",
    ),
)
async def predict(request: Request, service: CurrentService) -> PredictResponse:
    """Return the class probabilities of 1 to 32 images.

    Send a form with files, JSON with base64 text, or one image file as the body.
    """
    settings = service.settings
    with (
        _http_errors(settings),
        service.images.reserve(1) as held_images,
        service.body_bytes.reserve() as held_bytes,
    ):
        images = await read_images(request, settings, held_bytes)
        _admit_all(len(images), held_images)
        found = await service.engine.predict(images, settings.timeout)
    for one in found:
        service.metrics.predicted.labels(one.label).inc()
    return _response(found)


@router.get("/healthz", responses={503: {"model": Health, "description": "No model answers"}})
async def healthz(service: CurrentService, response: Response) -> Health:
    """Return which model answers; status 503 if none does."""
    model, is_alive = service.engine.model, service.engine.is_alive
    response.status_code = 200 if is_alive else 503
    return Health(
        status="ok" if is_alive else "dead",
        model=model.name,
        digest=model.digest,
        classes=model.predictor.classes,
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {PROMETHEUS: {}}}})
async def metrics(service: CurrentService) -> Response:
    """Return metrics for Prometheus."""
    service.metrics.update_drift(service.engine.model)
    return Response(service.metrics.text(), media_type=PROMETHEUS)


def _admit_all(images: int, held: Reservation) -> None:
    """Take the rest of ``images``, of which one is held already."""
    if images > held.budget.limit:  # it would never be admitted
        raise HTTPException(413, f"{images} images: send at most {held.budget.limit} at once")
    held.grow(images - held.amount)


@contextmanager
def _http_errors(settings: Settings) -> Iterator[None]:
    """Turn errors that are not faults of the service into HTTP errors."""
    try:
        yield
    except BudgetExceededError:
        reason = "too many images are waiting: try again in a second"
        raise HTTPException(429, reason, {"Retry-After": "1"}) from None
    except DecodeError as error:
        raise HTTPException(400, str(error)) from None
    except TimeoutError:
        raise HTTPException(503, f"no answer within {settings.timeout:g} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the client closed the connection") from None


def _response(found: list[ImageProbabilities]) -> PredictResponse:
    model = found[0].model
    classes = model.predictor.classes
    return PredictResponse(
        model=model.name,
        digest=model.digest,
        predictions=[
            Prediction(
                label=one.label,
                probability=max(one.probabilities),
                probabilities=dict(zip(classes, one.probabilities, strict=True)),
            )
            for one in found
        ],
    )

"""The application of the HTTP service."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from thaw.serving.batching import BatchingEngine
from thaw.serving.budget import Budget
from thaw.serving.endpoints import Service, router
from thaw.serving.middleware import RequestMiddleware
from thaw.serving.model_reloading import follow_model_uri
from thaw.serving.pages import add_pages
from thaw.serving.service_metrics import ServiceMetrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import Request, Response

    from thaw.serving.served_model import ServedModel
    from thaw.serving.settings import Settings

_ENDPOINTS = (
    "POST /predict classifies images; GET /healthz, /metrics, and /docs, which explains all"
)
API_VERSION = "1"  # of the requests and responses


def create_app(model_uri: str, model: ServedModel, settings: Settings) -> FastAPI:
    """Return an application that answers with ``model``, and reloads when ``model_uri`` moves."""
    metrics = ServiceMetrics()
    metrics.show_model(model)
    images, body_bytes = Budget(settings.queue), Budget(settings.max_body_bytes)
    metrics.waiting_images.set_function(lambda: images.used)
    service = Service(settings, metrics, images, body_bytes)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        """Run the engine; at the end, answer the requests in progress."""
        service.engine = BatchingEngine(
            model, metrics, images, settings.batch_size, is_on_gpu=settings.computing.is_gpu
        )
        reloading = asyncio.create_task(
            follow_model_uri(service.engine, metrics, model_uri, settings)
        )
        yield
        reloading.cancel()
        with suppress(asyncio.CancelledError):
            await reloading
        await asyncio.to_thread(service.engine.close)

    app = FastAPI(
        title="thaw",
        version=API_VERSION,
        summary="Classify images with a registered model",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # behind a proxy, the address would be that of the service
        servers=[{"url": "."}],  # beside the schema, also where a proxy serves it below a path
    )
    app.state.service = service
    app.add_middleware(RequestMiddleware, metrics=metrics)
    app.add_exception_handler(HTTPException, _error_response)
    app.include_router(router)
    add_pages(app)
    return app


async def _error_response(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code in {404, 405}:  # Starlette does not name the endpoints
        detail = f"there is no {request.method} {request.url.path[:200]}: {_ENDPOINTS}"
    return JSONResponse({"error": detail}, error.status_code, error.headers)

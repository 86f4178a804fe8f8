"""The HTTP service: predictions, health, metrics, and a page to try it on."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from thaw.data.decoding import DecodeError
from thaw.serving.batching import BusyError, Engine
from thaw.serving.middleware import Guard
from thaw.serving.model_reloading import follow
from thaw.serving.request_body import FullError, Room, Share, images_of
from thaw.serving.service_metrics import Meters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thaw.serving.batching import Prediction
    from thaw.serving.model_reloading import Model
    from thaw.serving.settings import Settings


def build(asked: str, model: Model, settings: Settings) -> FastAPI:
    """The service that answers with ``model``, and follows what ``asked`` stands for."""
    meters = Meters()
    meters.serve(model)
    service = Service(asked, model, settings, meters)
    app = FastAPI(lifespan=service.lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, meters=meters)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_api_route("/predict", service.predict, methods=["POST"])
    app.add_api_route("/healthz", service.healthz)
    app.add_api_route("/metrics", service.metrics)
    app.add_api_route("/", service.page)
    return app


class Service:
    """The endpoints, over one engine that lives as long as the application runs."""

    def __init__(self, asked: str, model: Model, settings: Settings, meters: Meters) -> None:
        self._asked = asked
        self._first = model
        self._settings = settings
        self._meters = meters
        self._room = Room(int(max(settings.bodies, settings.max_megabytes) * 1e6))
        self._page, self._policy = _page()
        self._engine: Engine

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Start the engine; at the end, answer what is there."""
        settings, meters = self._settings, self._meters
        engine = Engine(self._first, meters, max_batch=settings.max_batch, most=settings.queue)
        self._engine = engine
        following = asyncio.create_task(follow(engine, meters, self._asked, settings))
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await asyncio.to_thread(engine.close)

    async def predict(self, request: Request) -> Response:
        """Images in, classes with their probabilities out."""
        inside, share = 0, Share(self._room)
        try:
            self._engine.admit(1)
            inside = 1
            limits = self._settings
            most = int(limits.max_megabytes * 1e6)
            images = await images_of(request, most, limits.timeout, share)
            if len(images) > limits.queue:
                return _refusal(413, f"{len(images)} images: send at most {limits.queue} at once")
            self._engine.admit(len(images) - 1)
            inside = len(images)
            found = await self._engine.predict(images, limits.timeout)
        except (BusyError, FullError):
            reason = "too many images are waiting: try again in a second"
            return JSONResponse({"error": reason}, 429, {"Retry-After": "1"})
        except DecodeError as error:
            return _refusal(400, _for_client(str(error)))
        except TimeoutError:
            return _refusal(503, f"no answer within {self._settings.timeout:g} s")
        except ClientDisconnect:
            return _refusal(400, "the client went away")
        finally:
            self._engine.leave(inside)
            share.leave()
        for prediction in found:
            self._meters.predicted.labels(prediction.label).inc()
        return JSONResponse(_answer(found))

    async def healthz(self) -> Response:
        """Which model answers; 503 when none does."""
        model, is_alive = self._engine.model, self._engine.is_alive
        body = {
            "status": "ok" if is_alive else "dead",
            "model": model.name,
            "digest": model.digest,
            "classes": model.predictor.classes,
        }
        return JSONResponse(body, 200 if is_alive else 503)

    async def metrics(self) -> Response:
        """For Prometheus."""
        self._meters.drifted(self._engine.model)
        return Response(self._meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def page(self) -> Response:
        """The page for a person."""
        return HTMLResponse(self._page, headers={"Content-Security-Policy": self._policy})


def _for_client(reason: str) -> str:
    """A reason without the project's own knob, which a client cannot turn."""
    knob = r"prepare\.max_megapixels = (\S+): shrink the image(, or raise the limit)?"
    return re.sub(knob, r"the \1 megapixels that are taken here: shrink the image", reason)


def _answer(found: list[Prediction]) -> dict[str, Any]:
    model = found[0].model
    return {
        "model": model.name,
        "digest": model.digest,
        "predictions": [
            {
                "label": prediction.label,
                "probability": max(prediction.probabilities),
                "probabilities": dict(
                    zip(model.predictor.classes, prediction.probabilities, strict=True)
                ),
            }
            for prediction in found
        ],
    }


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refusal(error.status_code, str(error.detail))


def _refusal(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)


def _page() -> tuple[str, str]:
    """The page, and a policy that lets a browser run nothing but the page's own script."""
    page = files("thaw.serving").joinpath("page.html").read_text(encoding="utf-8")

    def allowed(tag: str) -> str:
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

    policy = (
        f"default-src 'none'; script-src {allowed('script')}; style-src {allowed('style')}; "
        "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return page, policy

"""Receive MLflow's webhooks and run a command when a model has a new champion.

    WEBHOOK_SECRET=... ON_CHAMPION='gh workflow run deploy.yml' \
    uvicorn --app-dir deploy/webhooks receiver:app --port 9000

The command gets the model and its version in the variables MODEL and VERSION. Put a proxy with TLS
before this service: MLflow sends webhooks to https addresses only.
"""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Header, HTTPException, Request

_LARGEST_AGE = 300  # seconds of a delivery, so that a recorded one cannot be sent again later
_EVENT = ("model_version_alias", "created")

app = FastAPI(openapi_url=None)


@app.post("/webhook", status_code=202)
async def receive(
    request: Request,
    tasks: BackgroundTasks,
    signature: Annotated[str, Header(alias="X-MLflow-Signature")] = "",
    delivery: Annotated[str, Header(alias="X-MLflow-Delivery-Id")] = "",
    timestamp: Annotated[str, Header(alias="X-MLflow-Timestamp")] = "0",
) -> None:
    """Check the signature of a delivery; run the command if it says that a champion was set."""
    body = await request.body()
    if not is_genuine(os.environ["WEBHOOK_SECRET"], body, signature, delivery, timestamp):
        raise HTTPException(401, "the signature is wrong or too old")
    event = json.loads(body)
    data = event.get("data", {})  # events of other kinds have other keys
    if (event.get("entity"), event.get("action")) == _EVENT and data.get("alias") == "champion":
        tasks.add_task(_run, data["name"], data["version"])


def is_genuine(secret: str, body: bytes, signature: str, delivery: str, timestamp: str) -> bool:
    """Return whether MLflow signed ``body`` with ``secret`` a short time ago."""
    signed = f"{delivery}.{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(digest).decode()}"
    is_recent = timestamp.isdecimal() and abs(time.time() - int(timestamp)) < _LARGEST_AGE
    return is_recent and hmac.compare_digest(signature.encode(), expected.encode())


def _run(model: str, version: str) -> None:
    environment = {**os.environ, "MODEL": model, "VERSION": version}
    subprocess.run(["sh", "-c", os.environ["ON_CHAMPION"]], env=environment, check=False)

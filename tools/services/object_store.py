"""An S3 server: that of moto, which keeps objects in memory."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import boto3
import requests

from tools.services.s3_server import FAULTS
from tools.services.server_process import HOST, ServerProcess, answers, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class ObjectStore:
    """A running S3 server. Clients find it and its credentials by the variables ``variables``."""

    def __init__(self, folder: Path) -> None:
        """Start the server; its output is in ``folder``."""
        folder.mkdir(parents=True)
        port = free_port()
        self.endpoint = f"http://{HOST}:{port}"
        # moto accepts any key. Tests search files for this one.
        self.secret = "s3-secret-of-the-tests"
        self.log = folder / "s3.log"
        command = [sys.executable, "-m", "tools.services.s3_server", str(port)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._server = ServerProcess(command, environment, self.log)
        self._server.wait_until(lambda: answers(port))

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment variables that DVC, boto3 and the MLflow server read."""
        return {
            "AWS_ACCESS_KEY_ID": "thaw-tests",
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
        }

    def create_bucket(self, name: str) -> None:
        """Create a bucket."""
        self._client().create_bucket(Bucket=name)

    def keys(self, bucket: str) -> list[str]:
        """Return the keys of the objects in ``bucket``."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def buckets(self) -> list[str]:
        """Return the names of all buckets."""
        return [bucket["Name"] for bucket in self._client().list_buckets()["Buckets"]]

    def read(self, bucket: str, key: str) -> bytes:
        """Return the content of an object."""
        return bytes(self._client().get_object(Bucket=bucket, Key=key)["Body"].read())

    def write(self, bucket: str, key: str, content: bytes) -> None:
        """Store an object."""
        self._client().put_object(Bucket=bucket, Key=key, Body=content)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object."""
        self._client().delete_object(Bucket=bucket, Key=key)

    @contextlib.contextmanager
    def faults(self, rate: float) -> Iterator[None]:
        """Answer 500 to this part of the requests, chosen at random, during the block."""
        self._set_faults(rate)
        try:
            yield
        finally:
            self._set_faults(0.0)

    def stop(self) -> None:
        """Stop the server; its objects are gone."""
        self._server.stop()

    def _set_faults(self, rate: float) -> None:
        requests.put(f"{self.endpoint}{FAULTS}{rate}", timeout=30).raise_for_status()

    def _client(self) -> boto3.client:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.variables["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.secret,
        )

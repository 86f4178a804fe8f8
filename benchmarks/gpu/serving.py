"""Measure `thaw serve` with 64 clients on a GPU against the forward pass at its best batch size.

Alone: ``python -m benchmarks.gpu.serving --precision=bf16``.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.gpu.bare_forward import best_forward
from benchmarks.gpu.inputs import options, write_model
from benchmarks.gpu.measurement import Figure
from benchmarks.gpu.projects import command, environment
from benchmarks.gpu.saved_figures import rows as table_rows
from thaw.serving.compute_device import choose_computing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.gpu.inputs import Options

_CLIENTS, _PROCESSES = 64, 8
_PORT = 18_641
_IMAGES = (1, 16)  # in a request
_START = 180.0  # seconds


def rows(given: Options) -> list[Figure]:
    """Return the rows for requests of one image and of several."""
    precision: Any = given.precision
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "model"
        write_model(model, given.backbone)
        predictor = choose_computing(given.device, precision, "torch").predictor(model)
        best, bare = best_forward(predictor, given.batch)
        del predictor  # its memory on the device is the service's now
        found = [Figure("bare forward pass beside serve", bare, "images/s", note=f"batch {best}")]
        with served(model, given):
            for images in _IMAGES:
                found += _rows_of_requests(given, images, bare)
    return found


def _rows_of_requests(given: Options, images: int, bare: float) -> list[Figure]:
    load(images, 2)  # warms everything up
    answers = [load(images, given.seconds) for _ in range(given.rounds)]
    served_rates = [images * len(one["latencies"]) / given.seconds for one in answers]
    latencies = [latency for one in answers for latency in one["latencies"]] or [np.nan]
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e3
    rate, each = statistics.median(served_rates), f"{images} images a request"
    errors = sum(one["errors"] for one in answers)
    return [
        Figure(f"`thaw serve`, {_CLIENTS} clients, {each}, over bare", rate / bare, target=0.7),
        Figure(f"served, {each}", rate, "images/s"),
        Figure(f"latency, {each}, median", p50, "ms"),
        Figure(f"latency, {each}, 99th percentile", p99, "ms"),
        Figure(f"errors, {each}", errors, target=0, at_most=True),
    ]


def load(images: int, seconds: float) -> dict[str, Any]:
    """Return the latencies and errors of 64 clients, in 8 processes, that ask without a pause."""
    client = [sys.executable, "-m", "benchmarks.gpu.clients", str(_PORT)]
    client += [str(_CLIENTS // _PROCESSES), str(int(seconds)), str(images)]
    started = [
        subprocess.Popen(client, stdout=subprocess.PIPE, text=True) for _ in range(_PROCESSES)
    ]
    parts = [json.loads(process.communicate()[0]) for process in started]
    return {
        "latencies": [latency for part in parts for latency in part["latencies"]],
        "errors": sum(part["errors"] for part in parts),
    }


@contextlib.contextmanager
def served(model: Path, given: Options) -> Iterator[None]:
    """Run `thaw serve` while the context is open."""
    options = ["--port", str(_PORT), "--queue", "4096"]
    options += ["--device", given.device, "--precision", given.precision]
    process = subprocess.Popen(command("serve", str(model), *options), env=environment())
    try:
        end = time.monotonic() + _START
        while not _answers():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("thaw serve did not start")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def _answers() -> bool:
    with contextlib.suppress(OSError):
        connection = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=5)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    return False


if __name__ == "__main__":
    print("\n".join(table_rows(rows(options(__doc__)))))

"""Throughput and latency of `thaw serve` and `thaw predict`: `make bench TARGETS=serving`.

Each round also measures the network alone (EfficientNet-Lite0 at 224 px), so that the speed of the
machine cancels out of the ratios. The clients run on the same cores as the service. A short run:
``make bench TARGETS="serving --images=500 --seconds=5 --rounds=1"``.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from rich.console import Console

from benchmarks.command_line import parser
from benchmarks.result_tables import markdown
from benchmarks.serving_baselines import bare_batches, bare_folder, lite0
from tests.project import environment
from thaw.system.launching import ENVIRONMENT

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

_CLIENTS = 16
_FILES = 64
_LONGEST_START = 600  # seconds
_ON_CPU = ("--device", "cpu")  # as the bare network; benchmarks/gpu measures GPUs


def main() -> None:
    """Measure and print the table."""
    options = _options()
    if options.part:
        part = {"batches": bare_batches, "folder": bare_folder}[options.part]
        print(json.dumps(part(Path(options.model), Path(options.folder))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        model, folder = Path(scratch) / "model", Path(scratch) / "images"
        lite0(model)
        photographs(folder, options.images)
        console = Console()
        rows = [
            row
            for runtime in ("torch", "onnx")
            for measure in (service, bulk)
            for row in measure(model, folder, options, runtime)
        ]
        markdown(["figure", "to reach", "measured"], rows, console)


def service(model: Path, folder: Path, options: Namespace, runtime: str) -> list[list[str]]:
    """Return rows of `thaw serve` with 16 clients, relative to the network alone."""
    images = [path.read_bytes() for path in sorted(folder.iterdir())[:_FILES]]
    bare, served, latencies, errors = [], [], [], 0
    with running(model, runtime) as port:
        load(port, images, 2.0)  # the first requests warm everything up
        for _ in range(options.rounds):
            bare.append(measured("batches", model, folder))
            seconds, failed = load(port, images, options.seconds)
            served.append(len(seconds) / options.seconds)
            latencies += seconds
            errors += failed
        batches = batch_sizes(port)
    best = [max(sizes, key=lambda size: sizes[size]) for sizes in bare]
    ratios = [rate / sizes[b] for rate, sizes, b in zip(served, bare, best, strict=True)]
    fastest = [sizes[b] for sizes, b in zip(bare, best, strict=True)]
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e3
    return [
        [
            f"`thaw serve --runtime {runtime}`, 16 clients, over the bare forward pass",
            "0.8 x",
            f"{statistics.median(ratios):.2f} x",
        ],
        [
            f"  bare forward pass in torch at its best batch size ({best[0]})",
            "",
            f"{statistics.median(fastest):.0f} images/s",
        ],
        [
            f"  served, a JPEG a request ({batches:.1f} images a batch)",
            "",
            f"{statistics.median(served):.0f} images/s",
        ],
        ["  latency, median and p99", "", f"{p50:.0f} and {p99:.0f} ms"],
        [f"  errors in {len(latencies)} requests", "0", str(errors)],
    ]


def bulk(model: Path, folder: Path, options: Namespace, runtime: str) -> list[list[str]]:
    """Return rows of `thaw predict` on a folder, relative to decoding and the network alone."""
    bare, done = [], []
    for _ in range(options.rounds):
        bare.append(measured("folder", model, folder)["seconds"])
        with tempfile.TemporaryDirectory() as scratch:
            few, whole = (Path(scratch) / name for name in ("few.csv", "all.csv"))
            idle = predict_seconds(model, folder, few, runtime, few=True)
            done.append(predict_seconds(model, folder, whole, runtime) - idle)
    ratio = statistics.median(b / d for b, d in zip(bare, done, strict=True))
    rate = options.images / statistics.median(done)
    return [
        [
            f"`thaw predict --runtime {runtime}` over {options.images} images, over bare",
            "0.9 x",
            f"{ratio:.2f} x",
        ],
        ["  predicted, without the start", "", f"{rate:.0f} images/s"],
    ]


def measured(part: str, model: Path, folder: Path) -> dict[Any, Any]:
    """Measure the network alone in its own process with the same environment."""
    command = [sys.executable, "-m", "benchmarks.serving_throughput", "--part", part]
    done = subprocess.run(
        [*command, "--model", str(model), "--folder", str(folder)],
        env=_tuned(),
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[Any, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def predict_seconds(
    model: Path, folder: Path, out: Path, runtime: str, *, few: bool = False
) -> float:
    """Return the seconds of `thaw predict`; with ``few`` on one image, which measures the start."""
    with tempfile.TemporaryDirectory() as scratch:
        images = scratch if few else str(folder)
        if few:
            first = sorted(folder.iterdir())[0]
            (Path(scratch) / first.name).write_bytes(first.read_bytes())
        start = time.perf_counter()
        subprocess.run(
            [
                "thaw",
                "predict",
                str(model),
                images,
                "--out",
                str(out),
                "--runtime",
                runtime,
                *_ON_CPU,
            ],
            env=_tuned(),
            capture_output=True,
            check=True,
        )
        return time.perf_counter() - start


@contextlib.contextmanager
def running(model: Path, runtime: str) -> Iterator[int]:
    """Start `thaw serve` and return its port when it answers, which takes long on a busy machine.

    Raises:
        SystemExit: it ended by itself, or does not answer after ten minutes.
    """
    port = 18231
    process = subprocess.Popen(
        ["thaw", "serve", str(model), "--port", str(port), "--runtime", runtime, *_ON_CPU],
        env=environment(),
    )
    try:
        deadline = time.monotonic() + _LONGEST_START
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("error: `thaw serve` does not answer")
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    return False


def load(port: int, images: list[bytes], seconds: float) -> tuple[list[float], int]:
    """Return latencies (s) and the number of errors of 16 clients that ask without a pause."""
    latencies: list[float] = []
    errors = [0]
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        turn = number
        while (start := time.perf_counter()) < end:
            turn += 1
            body = images[turn % len(images)]
            connection.request("POST", "/predict", body, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            response.read()
            errors[0] += response.status != 200
            latencies.append(time.perf_counter() - start)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies, errors[0]


def batch_sizes(port: int) -> float:
    """Return the mean number of images in a batch, from the service's metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return float(values["thaw_batch_images_sum"]) / float(values["thaw_batch_images_count"])


def photographs(folder: Path, count: int) -> None:
    """Write JPEG files of 400 x 300 pixels with smooth noise, about 20 kB each."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        coarse = generator.integers(0, 255, (30, 40, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((400, 300), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:05d}.jpg", quality=90)


def _tuned() -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(os.cpu_count()), **ENVIRONMENT, **environment()}


def _options() -> Namespace:
    accepted = parser(__doc__)
    accepted.add_argument("--images", type=int, default=5000)
    accepted.add_argument("--seconds", type=float, default=20.0)
    accepted.add_argument("--rounds", type=int, default=3)
    accepted.add_argument("--part", choices=["batches", "folder"])
    accepted.add_argument("--model")
    accepted.add_argument("--folder")
    return accepted.parse_args()


if __name__ == "__main__":
    main()

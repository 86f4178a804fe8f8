"""Clients of a running service: ``python -m benchmarks.gpu.clients PORT THREADS SECONDS IMAGES``.

Each thread sends one request after the other, with IMAGES images each, and prints its count.
"""

from __future__ import annotations

import http.client
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.command_line import parser
from benchmarks.gpu.photographs import photograph

_BOUNDARY = "thaw-benchmark"


def main() -> None:
    """Ask for SECONDS, and print the images that were answered and the latencies as JSON."""
    arguments = parser(__doc__)
    for name in ("port", "threads", "seconds", "images"):
        arguments.add_argument(name, type=int)
    given = arguments.parse_args()
    body = form(given.images)
    with ThreadPoolExecutor(given.threads) as pool:
        asks = pool.map(lambda _: ask(given.port, body, given.seconds), range(given.threads))
        asked = list(asks)
    latencies = [latency for one, _ in asked for latency in one]
    errors = sum(errors for _, errors in asked)
    print(json.dumps({"latencies": latencies, "errors": errors}))


def form(images: int) -> bytes:
    """Return the body of a request with ``images`` JPEG files of 320 x 256 pixels."""
    parts = []
    for number in range(images):
        stream = io.BytesIO()
        photograph(number, (320, 256)).save(stream, "JPEG", quality=90)
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="x.jpg"'
        parts.append(head.encode() + b"\r\n\r\n" + stream.getvalue() + b"\r\n")
    return b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()


def ask(port: int, body: bytes, duration: float) -> tuple[list[float], int]:
    """Return the latencies (s) of answers within ``duration`` seconds, and the number of errors."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    latencies, errors = [], 0
    end = time.perf_counter() + duration
    while (begun := time.perf_counter()) < end:
        connection.request("POST", "/predict", body, kind)
        response = connection.getresponse()
        response.read()
        ended = time.perf_counter()
        if response.status != 200:
            errors += 1
        elif ended <= end:  # a later answer took time in which no request was counted
            latencies.append(ended - begun)
    return latencies, errors


if __name__ == "__main__":
    main()

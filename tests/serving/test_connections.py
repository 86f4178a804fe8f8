"""Requests over plain sockets, as unusual clients send them."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.registry.served import image
from thaw.serving.connections import ServiceProtocol

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
PICTURE = image()
LENGTH = f"Content-Length: {len(PICTURE)}\r\n".encode()
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(
    f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (PICTURE[:7], PICTURE[7:], b"")
)


def answer(url: str, *parts: bytes, ends: bool = True) -> list[str]:
    """Return the status lines of the answers to ``parts``, sent with pauses between them."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=30) as client:
        for number, part in enumerate(parts):
            time.sleep(0.1 if number else 0)
            client.sendall(part)
        if ends:
            client.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := client.recv(65536):
            received += chunk
    return re.findall(r"HTTP/1\.1 \d+ [A-Za-z ]+", received.decode(errors="replace"))


@pytest.mark.parametrize(
    "parts",
    [
        [HEALTH + b"\r\n"],
        [POST + LENGTH + b"\r\n" + PICTURE],
        [POST + LENGTH + b"\r\n", PICTURE[:9], PICTURE[9:]],
        [POST + CHUNKED],
        [POST.replace(b"1.1", b"1.0") + LENGTH + b"\r\n" + PICTURE],
        [*(bytes([byte]) for byte in HEALTH[:12]), HEALTH[12:] + b"\r\n"],
    ],
    ids=["GET", "POST", "a body in parts", "chunks", "HTTP/1.0", "byte by byte"],
)
def test_a_client_that_sends_no_more_gets_its_answer(url: str, parts: list[bytes]) -> None:
    assert answer(url, *parts) == ["HTTP/1.1 200 OK"]


def test_all_requests_that_a_client_sent_before_are_answered(url: str) -> None:
    # The last one ends the connection: the server would wait 5 s for a further one.
    last = POST + LENGTH + b"Connection: close\r\n\r\n" + PICTURE
    assert answer(url, POST + LENGTH + b"\r\n" + PICTURE + last) == 2 * ["HTTP/1.1 200 OK"]


def test_a_request_whose_body_never_comes_ends_at_once(url: str) -> None:
    started = time.monotonic()
    assert answer(url, POST + LENGTH + b"\r\n" + PICTURE[:9]) == []
    assert answer(url) == []
    assert time.monotonic() - started < 10


def test_a_client_that_waits_for_100_continue_gets_it(url: str) -> None:
    head = POST + LENGTH + b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
    found = answer(url, head, PICTURE, ends=False)
    assert found == ["HTTP/1.1 100 Continue", "HTTP/1.1 200 OK"]


@pytest.mark.parametrize("ends", [False, True])
def test_a_request_with_two_lengths_is_refused(ends: bool, url: str) -> None:
    head = POST + LENGTH + b"Content-Length: 3\r\n\r\n"
    assert answer(url, head + PICTURE, ends=ends) == ["HTTP/1.1 400 Bad Request"]


@pytest.mark.parametrize(
    "parts",
    [[], [b"GET /hea"], [HEALTH + b"\r\n"], [HEALTH + b"\r\n", b"GET /hea"]],
    ids=["nothing", "part of a request", "one request", "one request and a part"],
)
def test_a_connection_without_a_further_request_is_closed(
    url: str, parts: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServiceProtocol, "seconds_without_request", 0.3)
    started = time.monotonic()
    answers = answer(url, *parts, ends=False)
    assert answers == ["HTTP/1.1 200 OK"] * (parts[:1] == [HEALTH + b"\r\n"])
    assert time.monotonic() - started < 4  # uvicorn closes some of them after 5 s


@pytest.mark.slow
def test_a_request_that_is_sent_slowly_is_not_idle(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServiceProtocol, "seconds_without_request", 0.3)
    parts = [bytes([byte]) for byte in PICTURE[:10]]
    assert answer(url, POST + LENGTH + b"\r\n", *parts, PICTURE[10:]) == ["HTTP/1.1 200 OK"]


PAGE = b"GET / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /docs/files/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n",
        5 * (PAGE + b"\r\n") + PAGE + b"Connection: close\r\n\r\n",
    ],
    ids=["the end is not written yet", "all is written and waits to be sent"],
)
def test_a_client_that_reads_nothing_of_its_answer_is_ended(
    url: str, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServiceProtocol, "seconds_without_request", 0.3)
    made = ServiceProtocol.connection_made
    transports = []

    def connection_made(self: ServiceProtocol, transport: asyncio.Transport) -> None:
        # As in a network, where the kernel takes less of an answer than on one machine.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        transports.append(transport)
        made(self, transport)

    monkeypatch.setattr(ServiceProtocol, "connection_made", connection_made)
    place = urlsplit(url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((place.hostname, place.port))
        client.sendall(sent)
        end = time.monotonic() + 120
        while not (transports and transports[0].get_write_buffer_size()):
            assert time.monotonic() < end
            time.sleep(0.01)
        while transports[0].get_extra_info("socket").fileno() != -1:
            assert time.monotonic() < end, "the connection stays open"
            time.sleep(0.05)


@pytest.mark.slow
def test_clients_that_send_nothing_do_not_use_up_the_files_of_the_service(
    model: Path, tmp_path: Path
) -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (140, 300));"
        "from thaw.serving.connections import ServiceProtocol as protocol;"
        "protocol.seconds_without_request = 3.0; from thaw.serving.server import serve;"
        "from thaw.serving.settings import Settings;"
        f"serve({str(model)!r}, '127.0.0.1', 0, Settings())"
    )
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-c", program], stderr=log)
    try:
        url = address_in(tmp_path / "log")
        place = urlsplit(url)
        idle = [socket.create_connection((place.hostname, place.port)) for _ in range(500)]
        end = time.monotonic() + 60
        while health(url) != ["HTTP/1.1 200 OK"]:
            assert time.monotonic() < end
        for each in idle:
            each.close()
    finally:
        server.terminate()
        server.wait(timeout=300)
    assert (tmp_path / "log").read_text().count("\n") < 20


def health(url: str) -> list[str]:
    """Return the status lines of an answer; none if the connection is ended."""
    with contextlib.suppress(OSError):
        return answer(url, HEALTH + b"\r\n")
    return []


def address_in(log: Path) -> str:
    """Return the address that the service prints when it listens."""
    end = time.monotonic() + 100
    while not (found := re.search(r"http://[\d.:]+", log.read_text())):
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)
    return found[0]


@pytest.mark.parametrize(("files", "limit"), [((64, 90), 1), ((140, 300), 80), ((90, 2000), 1024)])
def test_the_limit_of_connections_follows_that_of_open_files(
    files: tuple[int, int], limit: int
) -> None:
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, {files});"
        "from thaw.serving.connections import connection_limit;"
        "print(connection_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().split() == [str(limit), str(files[1]), str(files[1])]

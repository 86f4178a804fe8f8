"""Requests over plain sockets, as unusual clients send them."""

from __future__ import annotations

import re
import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.registry.served import image

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

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.forks import in_child
from thaw.errors import ThawError
from thaw.serving.listening import listen, url_of


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost"])
def test_a_free_port_is_chosen_and_named(host: str) -> None:
    with listen(host, 0) as listening:
        port = listening.getsockname()[1]
        assert port > 0
        assert url_of(listening).endswith(f":{port}")
        assert url_of(listening).startswith("http://[::1]" if "::1" in host else "http://")
        with socket.create_connection(listening.getsockname()[:2], timeout=5):
            pass


@pytest.mark.parametrize(
    "host",
    ["no.such.host.invalid", "127.0.0.1:80", "a" * 300, "999.1.1.1", "", "http://a", "/a.sock"],
)
def test_a_host_that_is_no_address_is_named(host: str) -> None:
    with pytest.raises(ThawError, match="this is no address of this machine"):
        listen(host, 0)


def test_an_address_of_another_machine_and_a_busy_port_are_named() -> None:
    for host in ("192.0.2.1", "2001:db8::1", "fe80::1"):
        with pytest.raises(
            ThawError, match=r"(assign|argument).*: give 127\.0\.0\.1, another address"
        ):
            listen(host, 0)
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(
            ThawError, match=f"--port {port}: Address already in use: choose another"
        ):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["224.0.0.1", "255.255.255.255", "ff02::1"])
def test_an_address_of_several_machines_is_refused(host: str) -> None:
    with pytest.raises(ThawError, match="no client can connect to this address: give 127"):
        listen(host, 0)


def test_a_port_that_needs_the_rights_of_root_is_named() -> None:
    assert in_child(_refusal_as_nobody) == (
        "--host 127.0.0.1 --port 1: Permission denied: choose a port of 1024 or more, or 0 for a "
        "free one"
    )


def _refusal_as_nobody() -> str:
    if os.geteuid() == 0:
        os.setuid(65534)
    try:
        listen("127.0.0.1", 1).close()
    except ThawError as error:
        return str(error)
    return "it listens"


def test_a_host_with_a_line_end_gives_one_line() -> None:
    with pytest.raises(ThawError, match=r"^--host a\\nb: this is no address[^\n]*$"):
        listen("a\nb", 0)


def test_the_second_of_two_that_ask_for_one_port_at_once_is_refused() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ThreadPoolExecutor(2) as pool:
        attempts = [pool.submit(listen, "127.0.0.1", port) for _ in range(2)]
    errors = [attempt.exception() for attempt in attempts]
    assert sorted(error is None for error in errors) == [False, True]
    assert "Address already in use" in str(errors)
    for attempt in attempts:
        if attempt.exception() is None:
            attempt.result().close()

from __future__ import annotations

import socket

import pytest

from thaw.errors import ThawError
from thaw.serving.listening import listen, url_of


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_free_port_is_chosen_and_named(host: str) -> None:
    with listen(host, 0) as listening:
        port = listening.getsockname()[1]
        assert port > 0
        assert url_of(listening).endswith(f":{port}")
        assert url_of(listening).startswith("http://[::1]" if host == "::1" else "http://")
        with socket.create_connection(listening.getsockname()[:2], timeout=5):
            pass


@pytest.mark.parametrize("host", ["no.such.host.invalid", "127.0.0.1:80", "a" * 300, "999.1.1.1"])
def test_a_host_that_is_no_address_is_named(host: str) -> None:
    with pytest.raises(ThawError, match="this is no address of this machine"):
        listen(host, 0)


def test_an_address_of_another_machine_and_a_busy_port_are_named() -> None:
    with pytest.raises(ThawError, match="Cannot assign requested address"):
        listen("192.0.2.1", 0)
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(ThawError, match=f"--port {port}: Address already in use"):
            listen("127.0.0.1", port)

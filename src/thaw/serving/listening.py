"""The socket of the service: bound before its address is printed."""

from __future__ import annotations

import socket

from thaw.errors import ThawError

_WAITING = 2048  # connections that the kernel keeps until the service accepts them


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``; 0 takes a free port.

    Raises:
        ThawError: there is no such address here, or the port is in use or not permitted.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:  # UnicodeError: a part of the name is too long
        raise ThawError(
            f"--host {host}: this is no address of this machine ({error}): give 127.0.0.1, or "
            "0.0.0.0 for all"
        ) from None
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_WAITING)
    except OSError as error:
        listening.close()
        raise ThawError(
            f"--host {host} --port {port}: {error.strerror}: choose another port, or end the "
            "program that listens there"
        ) from None
    listening.settimeout(0.0)
    return listening


def url_of(listening: socket.socket) -> str:
    """Return the address of the service, ``http://HOST:PORT``."""
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if listening.family == socket.AF_INET6 else host
    return f"http://{shown}:{port}"

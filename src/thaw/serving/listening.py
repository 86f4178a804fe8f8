"""The socket of the service: bound before its address is printed."""

from __future__ import annotations

import errno
import ipaddress
import socket

from thaw.config.explanations import shortened_key
from thaw.errors import ThawError

WAITING = 2048  # connections that the kernel keeps until the service accepts them
_OWN_ADDRESS = "give 127.0.0.1, another address of this machine, or 0.0.0.0 for all"
_REMEDIES = {
    errno.EADDRINUSE: "choose another port, or end the program that listens there",
    errno.EACCES: "choose a port of 1024 or more, or 0 for a free one",
    errno.EADDRNOTAVAIL: _OWN_ADDRESS,
    errno.EINVAL: _OWN_ADDRESS,  # a link-local address without its interface
}


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``; 0 takes a free port.

    Brackets around an address of IPv6, as in URLs, are left out.

    Raises:
        ThawError: there is no such address here, or the port is in use or not permitted.
    """
    shown = shortened_key(host)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:  # UnicodeError: a part of the name is too long
        raise ThawError(
            f"--host {shown}: this is no address of this machine ({error}): {_OWN_ADDRESS}"
        ) from None
    if _reaches_several(str(address[0])):
        raise ThawError(f"--host {shown}: no client can connect to this address: {_OWN_ADDRESS}")
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(WAITING)
    except OSError as error:
        listening.close()
        raise ThawError(
            f"--host {shown} --port {port}: {error.strerror}: "
            f"{_REMEDIES.get(error.errno or 0, 'choose another address or port')}"
        ) from None
    listening.settimeout(0.0)
    return listening


def _reaches_several(address: str) -> bool:
    """Return whether ``address`` is one for several machines: the kernel binds it, too."""
    found = ipaddress.ip_address(address)
    return found.is_multicast or found == ipaddress.ip_address("255.255.255.255")


def url_of(listening: socket.socket) -> str:
    """Return the address of the service, ``http://HOST:PORT``."""
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if listening.family == socket.AF_INET6 else host
    return f"http://{shown}:{port}"

"""Entries of a folder of images that DVC cannot read."""

from __future__ import annotations

import os
import socket
from contextlib import chdir
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

KINDS = {
    "nowhere.png": "a link to gone.png: No such file or directory",
    "loop.png": "a link to loop.png: Too many levels of symbolic links",
    "pipe.png": "a named pipe",
    "socket.png": "a socket",
    "link to pipe.png": "a named pipe",
    "device.png": "a device",
    "\udcff.png": "the name is not valid UTF-8",
    "pipe with *[a-z]?! .png ": "a named pipe",
    "line\nend.png": "a named pipe",
    "#pipe": "a named pipe",
}
FOLDER = "folder \udcfe"  # with a file; its name is not UTF-8


def make_obstacles(folder: Path) -> None:
    """Make an entry of each of ``KINDS`` in ``folder``, and the folder ``FOLDER``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nowhere.png").symlink_to("gone.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "link to pipe.png").symlink_to("pipe.png")
    (folder / "device.png").symlink_to("/dev/null")
    (folder / "\udcff.png").write_bytes(b"")
    for name, kind in KINDS.items():
        if kind == "a named pipe" and not name.startswith("link"):
            os.mkfifo(folder / name)
    with chdir(folder), socket.socket(socket.AF_UNIX) as server:  # a long path is refused
        server.bind("socket.png")
    (folder / FOLDER).mkdir()
    (folder / FOLDER / "1.png").write_bytes(b"")

"""The folder of DVC's cache, to which DVC may link the files that it keeps track of."""

from __future__ import annotations

import configparser
from pathlib import Path

_DVC = Path(".dvc")
_CONFIGS = (_DVC / "config", _DVC / "config.local")  # the second one is read last and wins


def cache_folder() -> Path:
    """Return the folder of the cache of the project in the working directory, without links.

    It need not exist. ``cache.dir`` in the configuration of the user or the machine is not read.
    """
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    for path in _CONFIGS:
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # DVC names the mistake
    named = parser.get("cache", "dir", fallback="cache").strip("\"'")
    return (_DVC / named).resolve()  # a relative path is relative to .dvc


def is_link_into_cache(path: Path) -> bool:
    """Return whether ``path`` is a link of DVC to the content of a file in its cache."""
    return path.is_symlink() and path.resolve().is_relative_to(cache_folder())

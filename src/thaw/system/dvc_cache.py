"""The folder of DVC's cache, to which DVC may link the files that it keeps track of."""

from __future__ import annotations

import configparser
from pathlib import Path

_DVC = Path(".dvc")
_REMOTE = "remote "  # in the name of its section, which has quotes around it
_CONFIGS = (_DVC / "config", _DVC / "config.local")  # the second one is read last and wins


def cache_folder() -> Path:
    """Return the folder of the cache of the project in the working directory, without links.

    It need not exist. ``cache.dir`` in the configuration of the user or the machine is not read.
    """
    return _folder(_configuration().get("cache", "dir", fallback="cache"))


def written_folders() -> list[Path]:
    """Return the folders of this disk in which DVC writes outside of a project, without links.

    They are those of the cache and of remotes. They need not exist.
    """
    parser = _configuration()
    urls = [parser.get(name, "url", fallback="") for name in parser.sections() if _REMOTE in name]
    local = [url.removeprefix("file://") for url in urls]
    cache = cache_folder()
    remotes = [_folder(url) for url in local if url and "://" not in url]
    return [cache / "files", cache / "runs", *(remote / "files" for remote in remotes)]


def is_link_into_cache(path: Path) -> bool:
    """Return whether ``path`` is a link of DVC to the content of a file in its cache."""
    return path.is_symlink() and path.resolve().is_relative_to(cache_folder())


def _configuration() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    for path in _CONFIGS:
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # DVC names the mistake
    return parser


def _folder(named: str) -> Path:
    """Return a folder of the configuration; a relative path is relative to ``.dvc``."""
    return (_DVC / named.strip("\"'")).resolve()

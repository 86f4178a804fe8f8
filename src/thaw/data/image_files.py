"""The files of packed images: one file, or a folder of files of limited size.

The bytes are the same in both forms, one image after the other, and no image is in two files. The
folder has the name of the file, because ``dvc.yaml`` lists it, and DVC takes both.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from typing_extensions import Buffer

_NAME = re.compile(r"\d{5,}\.bin")


def shard_name(number: int) -> str:
    """Return the name of a file in the folder."""
    return f"{number:05d}.bin"


def is_folder_of_shards(path: Path) -> bool:
    """Return whether ``path`` is a folder that contains files of packed images only."""
    return (
        path.is_dir()
        and not path.is_symlink()
        and all(_NAME.fullmatch(each.name) and not each.is_dir() for each in path.iterdir())
    )


def remove(path: Path) -> None:
    """Remove the file ``path``, a link, or a folder of shards; nothing if it does not exist.

    Raises:
        OSError: it cannot be removed, or is a folder with other content.
    """
    if is_folder_of_shards(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class ImageFiles:
    """Packed images that are read or written from the start, at a place that moves.

    With ``limit`` > 0, ``path`` is a folder. A file of it has at most ``limit`` bytes; an image
    that is larger has a file of its own. What is at ``path`` stays until it is replaced.

    Raises:
        OSError: a file cannot be opened, read or written.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self._limit = limit
        self.sizes = [0]  # bytes of each file up to the place
        if bool(limit) != path.is_dir():
            remove(path)
        if limit:
            path.mkdir(exist_ok=True)
        self._stream = self._file(0).open("r+b" if self._file(0).exists() else "w+b")

    def _file(self, number: int) -> Path:
        return self.path / shard_name(number) if self._limit else self.path

    def write(self, content: Buffer, lengths: Iterable[int]) -> None:
        """Write the ``content`` of images with ``lengths`` bytes."""
        view, start = memoryview(content), 0
        for size in self._runs(lengths):
            self._stream.write(view[start : start + size])
            start += size

    def read(self, lengths: Iterable[int]) -> bytes:
        """Return the bytes of the next images; fewer if the files do not have as many."""
        return b"".join([self._stream.read(size) for size in self._runs(lengths)])

    def _runs(self, lengths: Iterable[int]) -> Iterator[int]:
        """Yield how many bytes of the images are in each file, while this file is open."""
        run = 0
        for length in lengths:
            used = self.sizes[-1] + run
            if self._limit and used and used + length > self._limit:
                self.sizes[-1] = used
                yield run
                run = 0
                self._next_file()
            run += length
        self.sizes[-1] += run
        yield run

    def _next_file(self) -> None:
        self._stream.truncate(self.sizes[-1])
        self._open(len(self.sizes))
        self.sizes.append(0)

    def _open(self, number: int) -> None:
        self._stream.close()
        path = self._file(number)
        self._stream = path.open("r+b" if path.exists() else "w+b")

    def go_back(self, sizes: Sequence[int]) -> None:
        """Move to an earlier place, at which :attr:`sizes` was ``sizes``."""
        if len(sizes) != len(self.sizes):
            self._open(len(sizes) - 1)
        self.sizes = list(sizes)
        self._stream.seek(sizes[-1])

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._stream.flush()

    def close(self) -> None:
        """Close the open file; what follows the place stays."""
        self._stream.close()

    def finish(self, path: Path) -> None:
        """End at the place, and move everything to ``path``."""
        self._stream.truncate(self.sizes[-1])
        self._stream.close()
        number = len(self.sizes)
        while self._limit and self._file(number).exists():
            self._file(number).unlink()
            number += 1
        if self.path != path:
            shutil.move(self.path, path)


class MappedFiles:
    """The bytes of packed images, read through memory maps; a file is opened when it is used.

    ``sizes`` are the bytes of each file in the folder ``path``; None if ``path`` is one file.
    """

    def __init__(self, path: Path, sizes: Sequence[int] | None) -> None:
        self._path = path
        self._starts = np.cumsum([0, *sizes], dtype=np.int64) if sizes else None
        self._maps: dict[int, NDArray[np.uint8]] = {}

    def file(self, offset: int) -> tuple[Path, int]:
        """Return the file with the byte ``offset``, and the offset of its first byte."""
        if self._starts is None:
            return self._path, 0
        number = self._number(offset)
        return self._path / shard_name(number), int(self._starts[number])

    def _number(self, offset: int) -> int:
        """Return the number of the file; bytes behind the last one count to it."""
        if self._starts is None:
            return 0
        found = int(np.searchsorted(self._starts, offset, side="right")) - 1
        return min(max(found, 0), len(self._starts) - 2)

    def content(self, offset: int, length: int) -> NDArray[np.uint8]:
        """Return the bytes from ``offset`` on; fewer if the file does not have as many.

        Raises:
            OSError, ValueError: the file is missing or empty.
        """
        number = self._number(offset)
        if number not in self._maps:
            path, _ = self.file(offset)
            # A plain view: np.memmap takes several times as long for a part of it.
            self._maps[number] = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
        start = offset if self._starts is None else offset - int(self._starts[number])
        return self._maps[number][start : start + length]

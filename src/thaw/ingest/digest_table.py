"""SHA-256 digests of many images in 32 bytes each; as texts they take 121."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

_BYTES = 32


class DigestTable(Sequence[str]):
    """A sequence of digests in hexadecimal digits that can be appended to."""

    def __init__(self, digests: Iterable[str] = ()) -> None:
        self._bytes = bytearray()
        for digest in digests:
            self.append(digest)

    def append(self, digest: str) -> None:
        """Append a digest.

        Raises:
            ValueError: it does not have 64 hexadecimal digits.
        """
        content = bytes.fromhex(digest)
        if len(content) != _BYTES:
            raise ValueError(f"not a SHA-256: {digest!r}")
        self._bytes += content

    def __len__(self) -> int:
        return len(self._bytes) // _BYTES

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self._bytes), _BYTES):
            yield self._bytes[start : start + _BYTES].hex()

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        return self._bytes[numbers * _BYTES : (numbers + 1) * _BYTES].hex()

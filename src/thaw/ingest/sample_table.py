"""The samples of a listing in few bytes each: a path, and the numbers of its label and split."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from operator import eq
from typing import overload

from thaw.ingest.listing import Sample

_ERRORS = "surrogatepass"  # names that are not UTF-8 have surrogates


class SampleTable(Sequence[Sample]):
    """A sequence of samples that can be appended to."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._paths = bytearray()
        self._ends = array("q", [0])
        self._kinds = array("i")
        self._kind_numbers: dict[tuple[str, str | None], int] = {}
        self._kind_names: list[tuple[str, str | None]] = []
        for sample in samples:
            self.append(sample)

    def append(self, sample: Sample) -> None:
        """Append a sample."""
        self._paths += sample.path.encode("utf-8", _ERRORS)
        self._ends.append(len(self._paths))
        kind = sample.label, sample.split
        number = self._kind_numbers.setdefault(kind, len(self._kind_numbers))
        if number == len(self._kind_names):
            self._kind_names.append(kind)
        self._kinds.append(number)

    def __len__(self) -> int:
        return len(self._kinds)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        label, split = self._kind_names[self._kinds[index]]
        number = index % len(self)
        path = self._paths[self._ends[number] : self._ends[number + 1]]
        return Sample(path.decode("utf-8", _ERRORS), label, split)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self[:])

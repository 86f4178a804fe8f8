from __future__ import annotations

import struct

import pytest

from benchmarks.datasets.sky import Entry, entries, label_of


def _text(value: str | None) -> bytes:
    if value is None:
        return struct.pack(">I", 0xFFFFFFFF)
    return struct.pack(">I", 2 * len(value)) + value.encode("utf-16-be")


def _record(kind: int, morphology: str | None, numbers: tuple[int, ...]) -> bytes:
    return (
        struct.pack(">I4dI", 1, 0.1, 0.2, 99.0, 8.0, kind)
        + _text(morphology)
        + struct.pack(">2dI6d", 1.0, 1.0, 0, *([0.5] * 6))
        + struct.pack(">14I", *numbers, *range(11))
        + _text("Ced 1")
        + bytes(8)
        + b"".join(_text(None) for _ in range(7))
        + bytes(20)
    )


def test_records_of_the_catalogue_are_read_one_after_another() -> None:
    content = _text("3.16") + _text("standard")
    content += _record(0, "SA(s)b", (224, 0, 31)) + _record(7, None, (6205, 0, 13))
    assert list(entries(content)) == [
        Entry((224, 0, 31), 0, "SA(s)b"),
        Entry((6205, 0, 13), 7, ""),
    ]


@pytest.mark.parametrize(
    ("kind", "morphology", "label"),
    [
        (0, "SA(s)b", "spiral-galaxy"),
        (1, "E2", "early-galaxy"),
        (0, "SB0", "early-galaxy"),
        (0, "cD pec", "early-galaxy"),
        (0, "IB(s)m", "spiral-galaxy"),
        (6, "II3m", "open-cluster"),
        (11, "", "planetary-nebula"),
        (17, "EN", "nebula"),
        (28, "", ""),
    ],
)
def test_type_and_morphology_give_the_class(kind: int, morphology: str, label: str) -> None:
    assert label_of(Entry((1, 0, 0), kind, morphology)) == label

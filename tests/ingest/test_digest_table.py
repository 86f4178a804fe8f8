from __future__ import annotations

import hashlib
import sys

import pytest

from thaw.ingest.digest_table import DigestTable

DIGESTS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(5)]


def test_digests_come_back_as_they_were_appended() -> None:
    table = DigestTable(DIGESTS[:-1])
    table.append(DIGESTS[-1])
    assert len(table) == 5
    assert list(table) == DIGESTS
    assert [table[number] for number in (0, 4, -1, -5)] == [DIGESTS[n] for n in (0, 4, -1, -5)]
    assert table[1:3] == DIGESTS[1:3]
    assert table[::-2] == DIGESTS[::-2]
    assert not DigestTable()


def test_a_position_behind_the_end_is_refused() -> None:
    with pytest.raises(IndexError):
        DigestTable(DIGESTS)[5]


@pytest.mark.parametrize("text", ["ab", "g" * 64, DIGESTS[0] + "00"])
def test_a_text_that_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a SHA-256|hexadecimal"):
        DigestTable().append(text)


def test_a_digest_takes_little_more_than_its_bytes() -> None:
    table = DigestTable(DIGESTS * 1000)
    assert sys.getsizeof(table._bytes) < 40 * len(table)

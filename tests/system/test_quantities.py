from __future__ import annotations

import pytest

from thaw.system.quantities import quantity


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1204, "1,204 images")],
)
def test_a_number_has_the_words_for_it(count: int, expected: str) -> None:
    assert quantity(count, "image") == expected


def test_a_plural_of_its_own_is_used() -> None:
    assert quantity(1, "entry is", "entries are") == "1 entry is"
    assert quantity(2, "entry is", "entries are") == "2 entries are"

from __future__ import annotations

from pathlib import Path

from thaw.ingest.listing import Listing, Sample


def test_two_listings_share_no_problems_and_no_counts() -> None:
    one, other = (Listing(Path(name), [], []) for name in "ab")
    one.problems.append("a problem")
    one.ignored["a kind"] += 1
    assert not other.problems
    assert not other.ignored


def test_a_sample_has_no_split_unless_the_source_gives_one() -> None:
    assert Sample("cat/1.png", "cat").split is None

"""Notes on how a source was understood; none of them is a problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.ingest.combined_labels import combined_label_notes
from thaw.ingest.label_checks import label_notes
from thaw.ingest.splits import missing_split_notes

if TYPE_CHECKING:
    from thaw.config.prepare_section import Prepare
    from thaw.ingest.listing import Listing

_MOST_NAMED = 6  # kinds of files that are not read


def source_notes(listing: Listing, config: Prepare) -> list[str]:
    """Return lines about splits, labels and files that are not read."""
    given = {sample.split for sample in listing.samples if sample.split}
    missing = missing_split_notes(given, config) if given else []
    labels = [*label_notes(listing), *combined_label_notes(listing)]
    return [*listing.notes, *missing, *labels, *_ignored(listing)]


def _ignored(listing: Listing) -> list[str]:
    if not listing.ignored:
        return []
    counts = [f"{kind} ({count})" for kind, count in listing.ignored.most_common()]
    more = len(counts) - _MOST_NAMED
    text = ", ".join(counts[:_MOST_NAMED]) + (f" and {more} more kinds" if more > 0 else "")
    return [f"not read: {text}"]

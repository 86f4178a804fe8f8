"""The ranges of values of images of more than 8 bits per sample: facts and a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thaw.data.pixel_range import UsedRange, value_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thaw.ingest.reading import ImageRecord

_MOST_NAMED = 20  # files named in the report


def summarize(records: Iterable[ImageRecord]) -> dict[str, Any] | None:
    """Return the values in images of more than 8 bits per sample; None if there is no such image.

    ``slivers`` is the number of images that use less than a quarter of the range which becomes
    0..255.
    """
    used = [(record.sample.path, record.used) for record in records if record.used]
    if not used:
        return None
    slivers = [(path, values) for path, values in used if values.is_sliver]
    return {
        "images": len(used),
        "low": min(values.low for _, values in used),
        "high": max(values.high for _, values in used),
        "slivers": len(slivers),
        "examples": [
            f"{path} ({value_text(values.low)} to {value_text(values.high)} of "
            f"{value_text(values.start)} to {value_text(values.end)})"
            for path, values in slivers[:_MOST_NAMED]
        ],
    }


def warnings(summary: Mapping[str, Any] | None) -> list[str]:
    """Return a warning if images use a sliver of the range."""
    if summary is None or not summary["slivers"]:
        return []
    used = f"{value_text(summary['low'])} to {value_text(summary['high'])}"
    low, high = map(value_text, _nominal_range(summary["low"], summary["high"]))
    return [
        f"{summary['slivers']} of {summary['images']} images with more than 8 bits per sample use "
        "less than a quarter of the range of values, and most of their levels are lost: for "
        f"example {'; '.join(summary['examples'][:3])}: all such images together use {used}; set "
        f"prepare.range to the values that the data can have, perhaps [{low}, {high}], or to image"
    ]


def _nominal_range(low: float, high: float) -> tuple[float, float]:
    """Return the range of an instrument that may have written the values: all values of its bits.

    Example: 3 to 4090 -> 0 to 4095, which are 12 bits. Negative values and fractions stay, and so
    do values that are a sliver of that range, too: 40,000 to 41,000.
    """
    if low < 0 or not float(high).is_integer():
        return low, high
    nominal = UsedRange(low, high, 0, 2 ** max(1, int(high).bit_length()) - 1)
    return (low, high) if nominal.is_sliver and high > low else (nominal.start, nominal.end)

"""Bad files: refuse them, or leave them out of the data and list them (``data.on_error``)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from thaw.ingest.listing import is_utf8, shown_path
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from thaw.config.data_sections import Data
    from thaw.ingest.listing import BadFile, Listing


def bad_file_problems(
    config: Data, listing: Listing, bad: Sequence[BadFile], labels: Collection[str]
) -> list[str]:
    """Return why the files ``bad`` make the data unusable; empty if they can be left out.

    With ``on_error: fail``, each bad file is a problem. With ``quarantine``, two things are: too
    large a share of bad files, and a class that loses all its images. ``labels`` are those of the
    images to use: readable, and not left out for their labels.
    """
    if bad and config.on_error == "fail":
        return _lines(listing, bad)
    total = len(listing.samples) + len(listing.bad_files)
    fraction = len(bad) / max(1, total)
    if fraction > config.max_bad_fraction:
        return [
            f"{len(bad)} of {total} files are bad ({fraction:.1%}), more than "
            f"data.max_bad_fraction = {config.max_bad_fraction:g}: repair them, or raise the limit",
            *_lines(listing, bad),
        ]
    usable = set(labels)
    files = Counter(sample.label for sample in listing.samples)
    return [
        f"class {label!r}: none of its images is left (of {count}), because all are bad or "
        "identical to images of other classes, and a class cannot be left out: repair them, or "
        "remove the class"
        for label, count in sorted(files.items())
        if label not in usable and is_utf8(label)
    ]


def remedy(config: Data) -> str:
    """Return what to do where bad files are the problem."""
    if config.on_error == "quarantine":
        return ""
    return "repair or remove bad files, or set data.on_error to quarantine to leave them out"


def summarize(listing: Listing, bad: Sequence[BadFile]) -> dict[str, Any]:
    """Return the number of files that are left out, their reasons, and each file with its own."""
    counts = Counter(each.reason for each in bad)
    return {
        "files": len(bad),
        "fraction": len(bad) / max(1, len(listing.samples) + len(listing.bad_files)),
        "reasons": dict(counts.most_common()),
        "list": [{"path": shown_path(each.path), "reason": each.reason} for each in bad],
    }


def warnings(summary: Mapping[str, Any]) -> list[str]:
    """Return a warning that counts the files which are left out."""
    if not summary["files"]:
        return []
    first = next(iter(summary["list"]))
    return [
        f"{quantity(summary['files'], 'bad file')} ({summary['fraction']:.1%}) "
        f"{'is' if summary['files'] == 1 else 'are'} left out, for example "
        f"{first['path']}: {first['reason']}; all are listed in the report and in the manifest"
    ]


def _lines(listing: Listing, bad: Sequence[BadFile]) -> list[str]:
    return [each.line(listing.root) for each in bad]

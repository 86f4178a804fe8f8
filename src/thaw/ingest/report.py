"""The data report: counts, sizes, conversions, duplicates and warnings, and sample images."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from sys import intern
from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.data.colour_profiles import READ_AS_SRGB
from thaw.data.split_names import SPLITS, TRAIN
from thaw.ingest.checks import (
    conversion_counts,
    count_leaks,
    duplicates,
    first_of_groups,
    label_conflicts,
    repeated_hashes,
)
from thaw.ingest.sample_sheet import draw_sheet
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thaw.data.manifest import Manifest, Row
    from thaw.data.packed_store import PackedStore

_MOST_NAMED = 20  # files named in a list; counts are always complete
_SAMPLES = 8  # images per class in the figure
_CLASSES = 24  # classes in the figure
_LARGE = 0.1  # fraction of all images; more copies, or a larger group that is similar, warn


def summarize(
    manifest: Manifest,
    groups: Sequence[str],
    conversions: Sequence[tuple[str, ...]],
    ignored: Mapping[str, int],
    near: Sequence[str] | None = None,
    dropped: Sequence[Sequence[str]] = (),
) -> dict[str, Any]:
    """Return counts by split and class, sizes, conversions and duplicates.

    ``groups`` (N,) are the groups of equal pixels. ``near`` (N,) are the groups of near-duplicates,
    each of which contains whole groups of equal pixels; None if they were not searched for.
    ``ignored`` counts files that are no images, by kind. ``dropped`` are the groups of images that
    were left out because of their labels, as texts ``path (label)``.
    """
    rows = manifest.rows
    by_class: Counter[tuple[str, str]] = Counter()
    splits, sizes = list[str](), array("i")
    for row in rows:
        splits.append(intern(row.split))
        by_class[intern(row.label), splits[-1]] += 1
        sizes.extend((row.width, row.height))
    sides = np.frombuffer(sizes, dtype=np.int32).reshape(-1, 2)
    repeated = duplicates((row.path for row in rows), groups)
    places = range(len(groups))
    return {
        "images": len(rows),
        "classes": len(manifest.classes),
        "digest": manifest.digest,
        "splits": {name: splits.count(name) for name in SPLITS},
        "images_per_class": {
            label: {name: by_class[label, name] for name in SPLITS} for label in manifest.classes
        },
        "width": _range(sides[:, 0]),
        "height": _range(sides[:, 1]),
        "conversions": conversion_counts(conversions),
        "ignored": dict(ignored),
        "duplicate_groups": len(repeated),
        "copies": int(np.sum(first_of_groups(groups, places) != places)),
        "duplicates": repeated[:_MOST_NAMED],
        "dropped_conflicts": [list(names) for names in dropped],
        "images_in_two_splits": count_leaks(groups, splits),
        "near_duplicates": None if near is None else _near_duplicates(rows, groups, near),
    }


def _near_duplicates(
    rows: Sequence[Row], groups: Sequence[str], near: Sequence[str]
) -> dict[str, Any]:
    """Return the groups that contain different images, not only copies of one."""
    repeated = repeated_hashes(near)
    merged: dict[str, set[str]] = defaultdict(set)
    for group, name in zip(groups, near, strict=True):
        if hash(name) in repeated:
            merged[name].add(group)
    kept = [index for index, name in enumerate(near) if len(merged.get(name, ())) > 1]
    paths, labels = [rows[index].path for index in kept], [rows[index].label for index in kept]
    names = [near[index] for index in kept]
    found = duplicates(paths, names)
    conflicts = list(label_conflicts(paths, labels, names).values())
    largest = max(found, key=len, default=[])
    return {
        "groups": len(found),
        "images": len(kept),
        "largest_images": len(largest),
        "largest": largest[:_MOST_NAMED],
        "label_conflict_groups": len(conflicts),
        "label_conflicts": conflicts[:_MOST_NAMED],
        "images_in_two_splits": count_leaks(names, [rows[index].split for index in kept]),
    }


def warnings(report: Mapping[str, Any]) -> list[str]:
    """Return warnings for the user; none of them stops the pipeline."""
    lines = []
    if dropped := report["dropped_conflicts"]:
        images = quantity(sum(map(len, dropped)), "image is", "images are")
        lines.append(
            f"{images} left out, because of identical images with other labels, for example "
            f"{', '.join(dropped[0])}; all are listed in the report"
        )
    copies, images = report["copies"], report["images"]
    if copies > max(_MOST_NAMED, _LARGE * images):
        lines.append(
            f"{copies:,} of {images:,} images are copies of others: scores count each of them, so "
            "that their intervals are too narrow; remove the copies, of which "
            "reports/prepare/report.json names some"
        )
    if count := report["conversions"].get(READ_AS_SRGB):
        lines.append(
            f"{quantity(count, 'image has', 'images have')} a colour profile other than sRGB: thaw "
            "applies no profiles, it reads their numbers as sRGB"
        )
    if count := report["images_in_two_splits"]:
        lines.append(
            f"{quantity(count, 'validation or test image is', 'validation or test images are')} "
            "also in another of the given splits, so that the scores are too high: remove the "
            "copies there, or remove the splits and let prepare draw them"
        )
    if report["near_duplicates"]:
        lines += _near_warnings(report["near_duplicates"], report["images"])
    totals = [sum(counts.values()) for counts in report["images_per_class"].values()]
    if max(totals) > 10 * min(totals):
        lines.append(
            f"the largest class has {max(totals)} images, the smallest {min(totals)}: "
            "compare recall per class rather than accuracy"
        )
    return lines


def _near_warnings(near: Mapping[str, Any], images: int) -> list[str]:
    lines = []
    if count := near["label_conflict_groups"]:
        examples = "; ".join(", ".join(names[:4]) for names in near["label_conflicts"][:3])
        lines.append(
            f"{quantity(count, 'set of near-duplicates has', 'sets of near-duplicates have')} "
            f"different labels, of which some may be wrong: look at them, for example {examples}"
        )
    if count := near["images_in_two_splits"]:
        lines.append(
            f"{quantity(count, 'validation or test image has', 'validation or test images have')} "
            "a near-duplicate in another of the given splits, so that the scores are too high: "
            "remove one of each pair, or remove the splits and let prepare draw them"
        )
    if near["largest_images"] > max(_MOST_NAMED, _LARGE * images):
        lines.append(
            f"{near['largest_images']} images form one group of near-duplicates, "
            f"for example {', '.join(near['largest'][:3])}: if they do not look alike, lower "
            "prepare.near_duplicates"
        )
    return lines


def draw(manifest: Manifest, store: PackedStore, path: Path) -> None:
    """Draw a row of training images for each of the first 24 classes, with their counts."""
    classes = manifest.classes[:_CLASSES]
    training = manifest.ids(TRAIN)
    rows = []
    for label in classes:
        ids = training[manifest.targets[training] == manifest.classes.index(label)]
        name = f"{' '.join(label.split())}  ({quantity(len(ids), 'training image')})"
        rows.append((name, [store.thumbnail(int(image_id)) for image_id in ids[:_SAMPLES]]))
    more = len(manifest.classes) - len(classes)
    title = f"{len(manifest.rows)} images in {len(manifest.classes)} classes"
    draw_sheet(title + (f" ({more} classes not shown)" if more else ""), rows, path)


def _range(values: np.ndarray[Any, Any]) -> dict[str, int]:
    """Return minimum, median and maximum."""
    return {
        "min": int(values.min()),
        "median": int(np.median(values)),
        "max": int(values.max()),
    }

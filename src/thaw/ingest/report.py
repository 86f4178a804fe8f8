"""The data report: what is in the data, in numbers and in a picture."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.ingest.checks import conversion_counts, duplicates, label_conflicts, leaks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thaw.data.manifest import Manifest, Row
    from thaw.data.packed_store import PackedStore

_MOST_NAMED = 20  # files named in a list; the count is always whole
_SAMPLES = 8  # images a class in the picture
_CLASSES = 24  # classes in the picture
_LARGE = 0.1  # share of all images above which a group of near-duplicates is suspect


def summarize(
    manifest: Manifest,
    groups: Sequence[str],
    conversions: Sequence[tuple[str, ...]],
    ignored: Mapping[str, int],
    near: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Counts by split and class, sizes, conversions, duplicates, and what to worry about.

    ``groups`` names each image's group of equal pixels, ``near`` that of near-duplicates, which
    holds whole groups of equal pixels; None where they were not looked for.
    """
    rows = manifest.rows
    paths = [row.path for row in rows]
    labels = [row.label for row in rows]
    splits = [row.split for row in rows]
    repeated = duplicates(paths, groups)
    conflicts = label_conflicts(paths, labels, groups)
    by_class = Counter(zip(labels, splits, strict=True))
    sides = np.array([(row.width, row.height) for row in rows])
    return {
        "images": len(rows),
        "classes": len(manifest.classes),
        "digest": manifest.digest,
        "splits": {name: splits.count(name) for name in ("train", "val", "test")},
        "images_per_class": {
            label: {name: by_class[label, name] for name in ("train", "val", "test")}
            for label in manifest.classes
        },
        "width": _spread(sides[:, 0]),
        "height": _spread(sides[:, 1]),
        "conversions": conversion_counts(conversions),
        "ignored": dict(ignored),
        "duplicate_groups": len(repeated),
        "duplicates": repeated[:_MOST_NAMED],
        "label_conflict_groups": len(conflicts),
        "label_conflicts": conflicts[:_MOST_NAMED],
        "images_in_two_splits": leaks(groups, splits),
        "near_duplicates": None if near is None else _near(rows, groups, near),
    }


def _near(rows: Sequence[Row], groups: Sequence[str], near: Sequence[str]) -> dict[str, Any]:
    """The groups that are more than copies of one image; the largest by its files."""
    joined: dict[str, set[str]] = defaultdict(set)
    for group, name in zip(groups, near, strict=True):
        joined[name].add(group)
    kept = [place for place, name in enumerate(near) if len(joined[name]) > 1]
    paths, labels = [rows[place].path for place in kept], [rows[place].label for place in kept]
    names = [near[place] for place in kept]
    found = duplicates(paths, names)
    conflicts = label_conflicts(paths, labels, names)
    largest = max(found, key=len, default=[])
    return {
        "groups": len(found),
        "images": len(kept),
        "largest_images": len(largest),
        "largest": largest[:_MOST_NAMED],
        "label_conflict_groups": len(conflicts),
        "label_conflicts": conflicts[:_MOST_NAMED],
        "images_in_two_splits": leaks(names, [rows[place].split for place in kept]),
    }


def warnings(report: Mapping[str, Any]) -> list[str]:
    """What a person should look at before trusting a result; nothing here stops the pipeline."""
    lines = []
    if count := report["label_conflict_groups"]:
        lines.append(
            f"{count} sets of identical images carry different labels, "
            f"for example {', '.join(report['label_conflicts'][0])}"
        )
    if count := report["images_in_two_splits"]:
        lines.append(
            f"{count} validation or test images also stand in another split of the data as given: "
            "the scores will be too good"
        )
    if report["near_duplicates"]:
        lines += _near_warnings(report["near_duplicates"], report["images"])
    totals = [sum(counts.values()) for counts in report["images_per_class"].values()]
    if max(totals) > 10 * min(totals):
        lines.append(
            f"the largest class has {max(totals)} images, the smallest {min(totals)}: "
            "look at the per-class recall, not at the accuracy"
        )
    return lines


def _near_warnings(near: Mapping[str, Any], images: int) -> list[str]:
    lines = []
    if count := near["label_conflict_groups"]:
        examples = "; ".join(", ".join(names[:4]) for names in near["label_conflicts"][:3])
        lines.append(
            f"{count} sets of near-duplicate images carry different labels, which may be wrong: "
            f"for example {examples}"
        )
    if count := near["images_in_two_splits"]:
        lines.append(
            f"{count} validation or test images have a near-duplicate in another split of the data "
            "as given: the scores will be too good"
        )
    if near["largest_images"] > max(_MOST_NAMED, _LARGE * images):
        lines.append(
            f"{near['largest_images']} images hang together as near-duplicates of near-duplicates, "
            f"such as {', '.join(near['largest'][:3])}: if they are not alike, lower "
            "prepare.near_duplicates"
        )
    return lines


def draw(manifest: Manifest, store: PackedStore, path: Path) -> None:
    """A row of training images for each class (the first 24), with the class's counts."""
    from matplotlib.figure import Figure

    classes = manifest.classes[:_CLASSES]
    figure = Figure(figsize=(1.0 * _SAMPLES + 2.2, 0.95 * len(classes) + 0.6), layout="constrained")
    axes = figure.subplots(len(classes), _SAMPLES, squeeze=False)
    training = manifest.ids("train")
    for label, row in zip(classes, axes, strict=True):
        ids = training[manifest.targets[training] == manifest.classes.index(label)]
        for axis in row:
            axis.axis("off")
        for axis, image_id in zip(row, ids, strict=False):
            axis.imshow(store.thumbnail(int(image_id)))
        row[0].set_title(
            f"{label}  ({len(ids)} training images)", loc="left", fontsize=9, parse_math=False
        )
    more = len(manifest.classes) - len(classes)
    title = f"{len(manifest.rows)} images in {len(manifest.classes)} classes"
    figure.suptitle(title + (f" ({more} classes not shown)" if more else ""), fontsize=11)
    figure.savefig(path, dpi=100)


def _spread(values: np.ndarray[Any, Any]) -> dict[str, int]:
    return {
        "min": int(values.min()),
        "median": int(np.median(values)),
        "max": int(values.max()),
    }

"""The section on the data: counts, sizes, duplicates, what the network sees, suspect labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.data.split_names import SPLITS, TRAIN
from thaw.evaluation import stage_reports
from thaw.evaluation.page.likely_wrong import likely_wrong
from thaw.evaluation.page.thumbnails import data_address
from thaw.metrics.uncertainty import share_interval
from thaw.system.project_paths import REPORT
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from thaw.evaluation.page.subject import Predicted, Subject
    from thaw.evaluation.scores import Result

_MOST_CLASSES = 16  # of which samples are shown
_SAMPLES = 6  # images a class
_SAMPLE_SIDE = 96  # pixels
_MOST_SIZES = 1500  # points in the picture of sizes
_MOST_SUSPECTS = 12
_MOST_GROUPS = 8  # groups of duplicates that are listed


def data_section(subject: Subject) -> dict[str, Any]:
    """Return what the page shows of the data, for all splits.

    ``classes`` has the images of each class by split, ``sizes`` how many images have each width and
    height, ``notes`` a sentence for each thing that `prepare` found (duplicates, files left out),
    ``samples`` some images of each class as the network sees them, ``suspects`` those whose label
    is likely to be wrong, for each set of predictions.
    """
    report = stage_reports.read(subject.reports / "prepare" / REPORT)
    counts = report["images_per_class"]
    return {
        "images": report["images"],
        "splits": report["splits"],
        "split_names": list(SPLITS),
        "classes": [{"class": name, **counts[name]} for name in counts],
        "sizes": _sizes(subject),
        "width": report["width"],
        "height": report["height"],
        "notes": _notes(report),
        "duplicates": [group[:6] for group in report["duplicates"][:_MOST_GROUPS]],
        "samples": _samples(subject),
        "suspects": [_suspects(subject, predicted) for predicted in subject.predicted],
    }


def _sizes(subject: Subject) -> list[dict[str, int]]:
    """Return the sizes of the original images, each with its number of images."""
    sides = np.array([(row.width, row.height) for row in subject.data.manifest.rows])
    found, counts = np.unique(sides, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_SIZES]
    return [
        {"width": int(found[i, 0]), "height": int(found[i, 1]), "images": int(counts[i])}
        for i in order
    ]


def _notes(report: Mapping[str, Any]) -> list[str]:
    """Return what is special about the data, one sentence each."""
    near = report.get("near_duplicates") or {}
    left_out = (report.get("left_out") or {}).get("files", 0)
    # Reports of earlier versions, which `thaw upgrade --keep` keeps, do not have it.
    dropped = len(report.get("dropped_conflicts", ()))
    conversions = ", ".join(f"{count} {name}" for name, count in report["conversions"].items())
    known = (
        (
            report["duplicate_groups"],
            "group of identical images, which is in one split.",
            "groups of identical images; each is in one split.",
        ),
        (report.get("copies", 0), "image is a copy of another.", "images are copies of others."),
        (
            near.get("groups", 0),
            "group of near-duplicates, which is in one split.",
            "groups of near-duplicates; each is in one split.",
        ),
        (
            near.get("label_conflict_groups", 0),
            "group of near-duplicates has several labels.",
            "groups of near-duplicates have several labels.",
        ),
        (
            report["images_in_two_splits"],
            "image is also in another of the given splits.",
            "images are also in another of the given splits.",
        ),
        (
            dropped,
            "group of identical images with different labels was left out.",
            "groups of identical images with different labels were left out.",
        ),
        (
            left_out,
            "file was left out because it could not be read.",
            "files were left out because they could not be read.",
        ),
    )
    lines = [quantity(count, one, several) for count, one, several in known if count]
    return [*lines, f"Converted to RGB: {conversions}."] if conversions else lines


def _samples(subject: Subject) -> list[dict[str, Any]]:
    """Return training images of each class as the network gets them."""
    data, preprocessing = subject.data, subject.spec.preprocessing
    training = data.manifest.ids(TRAIN)
    targets = data.manifest.targets[training]
    rows = []
    for number, name in enumerate(data.manifest.classes[:_MOST_CLASSES]):
        ids = _spread(training[targets == number], _SAMPLES)
        seen = preprocessing.resize([data.store.read(int(image_id)) for image_id in ids])
        pixels = seen.permute(0, 2, 3, 1).contiguous().numpy()
        images = [
            {"src": data_address(image, _SAMPLE_SIDE), "path": data.manifest.rows[image_id].path}
            for image, image_id in zip(pixels, ids, strict=True)
        ]
        rows.append({"class": name, "images": images})
    return rows


def _suspects(subject: Subject, predicted: Predicted) -> dict[str, Any]:
    manifest = subject.data.manifest
    targets = manifest.targets[predicted.ids]
    found = likely_wrong(targets, predicted.probabilities)
    agreement = float((predicted.probabilities.argmax(axis=1) == targets).mean())
    images = []
    for suspect in found[:_MOST_SUSPECTS]:
        image_id = int(predicted.ids[suspect.place])
        row = manifest.rows[image_id]
        images.append(
            {
                "src": data_address(subject.data.store.thumbnail(image_id)),
                "path": row.path,
                "label": row.label,
                "suggested": manifest.classes[suspect.suggested],
                "given": suspect.given,
                "likely": suspect.likely,
            }
        )
    return {
        "origin": predicted.origin,
        "checked": len(predicted.ids),
        "found": len(found),
        "agreement": agreement,
        "is_weak": agreement < _lowest_accuracy(subject.result),
        "images": images,
    }


def _lowest_accuracy(result: Result) -> float:
    """Return the lower end of the 95 % interval of the model's accuracy on the test split."""
    right = result.probabilities.argmax(axis=1) == result.targets
    return share_interval(int(right.sum()), len(right))[0]


def _spread(ids: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most ``most`` of ``ids``, at equal distances."""
    places = np.linspace(0, len(ids) - 1, min(most, len(ids))).round().astype(np.int64)
    return np.asarray(ids[places])

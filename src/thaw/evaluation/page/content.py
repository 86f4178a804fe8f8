"""The content of a report page: plain data, in two steps around the registration.

``measure`` computes what takes time, before the model is registered. ``complete`` adds what is
known after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.evaluation.page import (
    data_section,
    depth_section,
    network_section,
    origin_section,
    scores_section,
    training_section,
)
from thaw.evaluation.page.release_box import Release
from thaw.metrics.registry import METRICS
from thaw.model.weights_origin import weights_origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thaw.evaluation.page.subject import Registration, Subject


FULL = frozenset({"all", "full"})  # values of evaluate.report with heat maps and checked labels
_NOTE = "This was so when the page was written: `thaw report` shows the present state."


def measure(subject: Subject) -> dict[str, Any]:
    """Return the sections of the page that describe the model and its data."""
    is_full = subject.params.evaluate.report in FULL
    return {
        "scores": scores_section.scores_section(subject),
        "test": scores_section.classes_section(subject),
        "mistakes": scores_section.mistakes_section(subject, with_maps=is_full),
        "calibration": scores_section.calibration_section(subject),
        "training": training_section.training_section(subject),
        "depth": depth_section.depth_section(subject),
        "choices": training_section.choices_section(subject),
        "data": data_section.data_section(subject),
        "network": network_section.network_section(subject),
    }


def complete(
    measured: Mapping[str, Any], subject: Subject, registration: Registration
) -> dict[str, Any]:
    """Return the whole content: the sections, the registered version, and where it comes from."""
    backbone = subject.params.backbone
    return {
        **measured,
        "name": registration.name,
        "version": registration.version,
        "run_id": registration.run_id,
        "made": origin_section.now(),
        "pretrained": weights_origin(backbone.name, backbone.weights),
        "architecture": network_section.architecture(subject.spec),
        "classes": subject.spec.classes,
        "test_images": len(subject.result.targets),
        "largest_class": _largest_class(subject),
        "release": release(registration, missed_limits(subject)).as_json(),
        "origin": origin_section.origin_section(subject, registration),
        "commands": origin_section.commands_section(registration),
    }


def _largest_class(subject: Subject) -> dict[str, Any]:
    """Return the class that most test images have, and its share: what guessing reaches."""
    counts = np.bincount(subject.result.targets, minlength=len(subject.spec.classes))
    largest = int(counts.argmax())
    return {"name": subject.spec.classes[largest], "share": float(counts[largest] / counts.sum())}


def missed_limits(subject: Subject) -> list[str]:
    """Return the floors and ceilings of the gate that the scores miss, each with its value."""
    settings, scores = subject.params.promote, subject.result.scores.summary
    below = [
        f"{METRICS[name].label} {scores[name]:.3f} (floor {least:g})"
        for name, least in settings.floors.items()
        if name in METRICS and scores[name] < least
    ]
    above = [
        f"{METRICS[name].label} {scores[name]:.3f} (ceiling {most:g})"
        for name, most in settings.ceilings.items()
        if name in METRICS and scores[name] > most
    ]
    return below + above


def release(registration: Registration, missed: Sequence[str] = ()) -> Release:
    """Return whether the version is released, and why, as a label and a sentence.

    ``missed`` are limits of the gate that the version does not keep. The gate does not decide about
    a first version.
    """
    released, number = registration.alias == "champion", registration.version
    is_first = released and number == 1 and registration.is_new
    again = "" if registration.is_new else f"This run made the model of version {number} again. "
    command = f"`thaw promote {number}`"
    if is_first:
        reason = "It is the first version: there was no champion to compare with."
        if missed:
            reason += f" The gate would refuse it as a later one: {', '.join(missed)}."
    elif released:
        reason = f"{again}Version {number} is the champion."
    elif registration.verdict:
        reason = (
            f"{again}The gate's last answer was: {registration.verdict}. Its reasons are in the "
            f"description of the version; {command} compares again."
        )
    else:
        reason = (
            f"{again}The gate has not compared this version with the champion yet: "
            f"{command} does, and releases it if it passes."
        )
    is_doubtful = is_first and bool(missed)
    label = "Released, limits missed" if is_doubtful else "Released as champion"
    return Release(
        released=released,
        label=label if released else "Not released",
        reason=reason,
        note=_NOTE,
        version=number,
        is_doubtful=is_doubtful,
    )

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from thaw.evaluation.page.scores_section import (
    calibration_section,
    classes_section,
    mistakes_section,
    scores_section,
)
from thaw.metrics.registry import METRICS

if TYPE_CHECKING:
    from thaw.evaluation.page.subject import Subject


def test_each_metric_has_its_value_and_an_interval(project: Subject) -> None:
    rows = scores_section(project)
    assert [row["name"] for row in rows] == list(METRICS)
    summary = project.result.scores.summary
    for row in rows:
        assert row["value"] == summary[row["name"]]
        assert row["low"] is None or row["low"] < row["high"]
    assert (rows[0]["low"], rows[0]["high"]) == (summary["accuracy_low"], summary["accuracy_high"])
    worst = next(row for row in rows if row["name"] == "worst_class_recall")
    assert worst["low"] <= worst["value"] <= worst["high"]


def test_the_rows_of_the_matrix_add_up_to_the_images_of_the_class(project: Subject) -> None:
    section = classes_section(project)
    assert [sum(row) for row in section["matrix"]] == [row["support"] for row in section["rows"]]
    wrong = sum(row["images"] for row in section["confusions"])
    hits = sum(row["hits"] for row in section["rows"])
    assert wrong + hits == len(project.result.targets)
    for row in section["rows"]:
        assert row["low"] <= row["recall"] <= row["high"]


def test_mistakes_are_sorted_by_confidence_and_shown_with_heat_maps(project: Subject) -> None:
    section = mistakes_section(project)
    predicted = project.result.probabilities.argmax(axis=1)
    assert section["count"] == int((predicted != project.result.targets).sum()) > 0
    values = [row["probability"] for row in section["rows"]]
    assert values == sorted(values, reverse=True)
    first = section["rows"][0]
    assert first["src"]
    assert first["heat"]
    assert first["heat"] != first["src"]
    assert first["likeliest"][0]["class"] == first["predicted"] != first["label"]


def test_without_maps_there_are_pictures_alone(project: Subject) -> None:
    first = mistakes_section(project, with_maps=False)["rows"][0]
    assert first["src"]
    assert first["heat"] is None


def test_without_mistakes_the_section_is_empty(project: Subject) -> None:
    right = np.eye(3)[project.result.targets]
    result = replace(project.result, probabilities=right)
    section = mistakes_section(replace(project, result=result))
    assert (section["count"], section["rows"]) == (0, [])


def test_calibration_is_compared_with_the_scores_before_it(project: Subject) -> None:
    alone = calibration_section(project)
    assert set(alone["scores"]) == {"model"}
    result = replace(project.result, uncalibrated=project.result.scores)
    both = calibration_section(replace(project, result=result))
    assert list(both["scores"]) == ["before", "after"]
    for row in both["curves"]:
        assert row["bottom"] <= row["accuracy"] <= row["top"]

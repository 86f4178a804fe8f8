from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tests.evaluation.page import example
from tests.evaluation.page.test_thumbnails import decoded
from thaw.evaluation.page.data_section import data_section
from thaw.evaluation.page.subject import Predicted

if TYPE_CHECKING:
    from thaw.evaluation.page.subject import Subject


def test_counts_sizes_and_samples_are_those_of_the_data(project: Subject) -> None:
    section = data_section(project)
    assert section["classes"][0] == {"class": "blue", **example.COUNTS}
    assert section["sizes"] == [{"width": 16, "height": 20, "images": 30}]
    assert section["notes"] == []
    names = [row["class"] for row in section["samples"]]
    assert names == project.spec.classes
    training = set(project.data.manifest.ids("train"))
    for row in section["samples"]:
        for image in row["images"]:
            number = int(image["path"].removesuffix(".png"))
            assert number in training
            seen = project.spec.preprocessing.resize([project.data.store.read(number)])
            expected = seen[0].permute(1, 2, 0).numpy()
            np.testing.assert_array_equal(np.asarray(decoded(image["src"])), expected)


def test_an_image_with_another_label_is_listed_as_suspect(project: Subject) -> None:
    manifest = project.data.manifest
    ids = np.arange(30)
    probabilities = np.full((30, 3), 0.02)
    probabilities[ids, manifest.targets] = 0.96
    probabilities[4] = [0.96, 0.02, 0.02]  # its label is 1
    changed = replace(project, predicted=[Predicted("All images.", ids, probabilities)])
    (check,) = data_section(changed)["suspects"]
    assert (check["origin"], check["checked"], check["found"]) == ("All images.", 30, 1)
    (image,) = check["images"]
    assert (image["path"], image["label"], image["suggested"]) == ("4.png", "green", "blue")


def test_predictions_that_are_worse_than_the_model_are_called_weak(project: Subject) -> None:
    targets = project.data.manifest.targets
    perfect = replace(project.result, probabilities=np.eye(3)[project.result.targets])
    for wrong in (0, 20):
        guessed = np.where(np.arange(30) < wrong, (targets[:30] + 1) % 3, targets[:30])
        predicted = Predicted("All images.", np.arange(30), 0.9 * np.eye(3)[guessed] + 0.1 / 3)
        subject = replace(project, result=perfect, predicted=[predicted])
        (check,) = data_section(subject)["suspects"]
        assert check["agreement"] == (30 - wrong) / 30
        assert check["is_weak"] == (wrong > 0)


def test_notes_name_the_special_cases_of_the_data(project: Subject) -> None:
    example.write_reports(
        duplicate_groups=2,
        copies=7,
        duplicates=[["a.png", "b.png"], ["c.png", "d.png"]],
        images_in_two_splits=3,
        conversions={"CMYK to RGB": 4},
        left_out={"files": 1},
        near_duplicates={"groups": 5, "label_conflict_groups": 0},
    )
    section = data_section(project)
    example.write_reports()
    notes = " ".join(section["notes"])
    for part in (
        "2 groups of identical",
        "7 images are copies",
        "5 groups of near",
        "3 images are also",
        "1 file was left out because it could",
    ):
        assert part in notes
    assert "4 CMYK to RGB" in notes
    assert section["duplicates"][0] == ["a.png", "b.png"]


def test_a_report_of_an_earlier_version_is_read(project: Subject) -> None:
    path = project.reports / "prepare/report.json"
    report = json.loads(path.read_text())
    del report["dropped_conflicts"]
    path.write_text(json.dumps(report))
    section = data_section(project)
    example.write_reports()
    assert section["images"] == report["images"]

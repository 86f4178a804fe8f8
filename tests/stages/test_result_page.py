from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.evaluation.page import example
from thaw.context import Context
from thaw.errors import ThawError
from thaw.stages import evaluate, result_page
from thaw.stages.result_page import CARD, PAGE, documents_of
from thaw.system import project_paths
from thaw.system.files import write_json
from thaw.system.project_paths import PROBE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("report", "parts", "missing"),
    [
        ("full", ["<h1>flowers", "Grad-CAM", "Confident learning"], ["evaluate.report is off"]),
        ("short", ["<h1>flowers", "Mistakes"], ["Grad-CAM", "Confident learning"]),
        ("off", ["evaluate.report is off"], ["Mistakes"]),
    ],
)
def test_the_parameter_says_how_much_the_page_shows(
    folder: Path, report: str, parts: list[str], missing: list[str]
) -> None:
    subject = example.subject(folder, report)
    context = Context(subject.params, subject.data, subject.runtime)
    write = documents_of(context, subject.classifier, subject.spec, subject.result, evaluate.MODEL)
    assert not PAGE.exists()
    documents = write(example.REGISTRATION)
    assert (documents.page, documents.card) == (PAGE, CARD)
    assert "# flowers version 1" in CARD.read_text()
    page = PAGE.read_text()
    assert "flowers" in page
    for part in parts:
        assert part in page
    for part in missing:
        assert part not in page


@pytest.mark.parametrize(
    ("fit", "kind"), [("svm", "svm"), ("logistic", "logistic"), ("gradient", "lda"), (None, "lda")]
)
def test_wrong_labels_are_searched_for_with_the_kind_of_head_of_the_warm_up(
    fit: str | None, kind: str, tmp_path: Path
) -> None:
    if fit is not None:
        content = {"fit": fit, "strength": "auto", "is_compared": True, "validation_differs": False}
        (tmp_path / "choices.json").write_text(json.dumps(content))
    assert result_page._kind_of_head(tmp_path) == kind


@pytest.mark.parametrize(("report", "count"), [("all", 1), ("full", 0), ("off", 0)])
def test_the_depth_is_measured_where_the_parameter_asks_for_all(
    folder: Path, report: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = example.subject(folder, report)
    calls: list[Path] = []

    def measure(prepared: Path, _: object) -> None:
        calls.append(prepared)
        probe = {"blocks": [1], "width": 8, "accuracy": 0.5, "error": 0.01}
        found = {"block_probes": [probe], "joint_probes": []}
        content = {"data": subject.data.digest, "backbone": subject.spec.backbone}
        write_json(PROBE, content | {"measurements": found})

    monkeypatch.setattr(result_page, "measured_project", measure)
    context = Context(subject.params, subject.data, subject.runtime)
    write = documents_of(context, subject.classifier, subject.spec, subject.result, evaluate.MODEL)
    write(example.REGISTRATION)
    assert calls == [project_paths.PREPARED] * count
    assert ("Accuracy by block" in PAGE.read_text()) is bool(count)
    assert ("Grad-CAM" in PAGE.read_text()) is (report != "off")


def test_a_depth_that_cannot_be_measured_does_not_stop_the_registration(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = example.subject(folder, "all")

    def fail(*_: object) -> None:
        raise ThawError("the weights are not here")

    monkeypatch.setattr(result_page, "measured_project", fail)
    context = Context(subject.params, subject.data, subject.runtime)
    write = documents_of(context, subject.classifier, subject.spec, subject.result, evaluate.MODEL)
    write(example.REGISTRATION)
    assert "Not measured for this backbone" in PAGE.read_text()
    assert "no diagram of the depth: the weights are not here" in capsys.readouterr().err


def test_several_processes_show_the_depth_that_probe_has_measured_and_say_how(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = example.subject(folder, "all")
    probe = {"blocks": [1], "width": 8, "accuracy": 0.5, "error": 0.01}
    found = {"data": subject.data.digest, "backbone": subject.spec.backbone}
    write_json(PROBE, found | {"measurements": {"block_probes": [probe], "joint_probes": []}})
    monkeypatch.setattr(type(subject.runtime), "world", 2)
    context = Context(subject.params, subject.data, subject.runtime)
    write = documents_of(context, subject.classifier, subject.spec, subject.result, evaluate.MODEL)
    write(example.REGISTRATION)
    assert "Accuracy by block" in PAGE.read_text()
    warning = " ".join(capsys.readouterr().err.split())
    assert "this stage has 2" in warning
    assert "`thaw probe`, then `dvc repro --single-item --force evaluate`" in warning

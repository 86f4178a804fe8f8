"""Scores that pages quote are those of the files that record them, to the digits printed."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from tests.project import ROOT

METRICS = "reports/evaluate/metrics.json"
STAGES = ("warmup_head", "unfreeze", "fold_bn", "evaluate")


def text_of(page: str) -> str:
    """Return the words of a page, without line breaks and borders of tables."""
    return " ".join((ROOT / page).read_text(encoding="utf-8").replace("│", " ").split())


def committed() -> str:
    """Return the scores in the last commit; those of the folder if this is no git checkout."""
    command = ["git", "show", f"HEAD:{METRICS}"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return shown.stdout if shown.returncode == 0 else (ROOT / METRICS).read_text()


def reports() -> dict[str, Any]:
    """Return the stages' reports of this project, which are in DVC's cache and not in git."""
    if committed() != (ROOT / METRICS).read_text():
        pytest.skip("this machine has computed results of its own, which are not committed")
    paths = {stage: ROOT / f"reports/{stage}/report.json" for stage in STAGES}
    if not all(path.exists() for path in paths.values()):
        pytest.skip("this clone has no reports: `dvc repro` makes them")
    return {stage: json.loads(path.read_text()) for stage, path in paths.items()}


@pytest.fixture(scope="module")
def scores() -> dict[str, float]:
    found: dict[str, float] = json.loads(committed())["test"]
    return found


def test_the_readme_shows_the_committed_scores_of_the_digits(scores: dict[str, float]) -> None:
    text = text_of("README.md")
    low, high = scores["accuracy_low"], scores["accuracy_high"]
    assert (
        f"test accuracy {scores['accuracy']:.4f} (95 % interval {low:.3f} to {high:.3f}, "
        f"{scores['images']:.0f} images)"
    ) in text
    assert f"macro F1, log-loss {scores['macro_f1']:.4f}, {scores['log_loss']:.4f}" in text
    recall = scores["worst_class_recall"]
    assert f"ECE, worst recall {scores['ece']:.4f}, {recall:.4f}" in text
    # Where a temperature lowers the loss, the table has a row for it.
    calibrated = re.findall(
        r"calibration log-loss [\d.]+ to ([\d.]+), ECE [\d.]+ to ([\d.]+)", text
    )
    assert calibrated in ([], [(f"{scores['log_loss']:.4f}", f"{scores['ece']:.4f}")])


def test_the_readme_shows_the_losses_of_the_stages() -> None:
    found, text = reports(), text_of("README.md")
    phases = re.findall(r"best epoch (\d+) of (\d+), validation loss ([\d.]+) to ([\d.]+)", text)
    assert phases == [
        (str(of["best_epoch"]), str(of["epochs"]), f"{start:.4f}", f"{of['val_loss']:.4f}")
        for of in (found[stage] for stage in STAGES[:3])
        for start in [of["start_val_loss"]]
    ]
    before = found["evaluate"].get("uncalibrated")
    assert ("calibration log-loss" in text) == (before is not None)
    if before is not None:
        assert f"log-loss {before['log_loss']:.4f} to" in text
        assert f"ECE {before['ece']:.4f} to" in text
    assert f"{found['fold_bn']['merged']} BatchNorms merged" in text


def test_the_method_quotes_the_calibration_of_the_digits(scores: dict[str, float]) -> None:
    text = text_of("docs/method.md")
    log_loss, ece = f"{scores['log_loss']:.4f}", f"{scores['ece']:.4f}"
    found = re.findall(r"The model of `make run` has log-loss ([\d.]+) and ECE ([\d.]+)\. ", text)
    assert found == [(log_loss, ece)]
    kind = reports()["unfreeze"]["calibration"]["kind"]
    assert ("No temperature lowers its cross-fitted loss" in text) == (kind == "none")


def test_pages_round_the_accuracy_of_the_digits_alike(scores: dict[str, float]) -> None:
    accuracy = f"{scores['accuracy']:.3f}"
    (drift,) = re.findall(r"\| test images \| [\d.]+ \| ([\d.]+) \|", text_of("docs/serving.md"))
    (pinned,) = re.findall(
        r"the pinned values of this repository; [^|]*\| ([\d.]+);",
        text_of("docs/measured_choices.md"),
    )
    assert (drift, pinned) == (accuracy, accuracy)


def test_the_examples_name_the_figures_that_a_page_records() -> None:
    rows = re.findall(r"\| `([a-z]+\.yaml)` \| [^|]* \| ([^|]*) \|", text_of("examples/README.md"))
    assert {name for name, _ in rows} == {path.name for path in (ROOT / "examples").glob("*.yaml")}
    measured = {name: figure for name, figure in rows if "not measured here" not in figure}
    assert measured.keys() == {"digits.yaml"}
    ((accuracy, loss, seconds),) = re.findall(
        r"([\d.]+), log-loss ([\d.]+) .* (\d+) processor seconds", measured["digits.yaml"]
    )
    record = re.findall(
        r"complete `dvc repro`\*\* [^|]*; (\d+) processor seconds\) "
        r"\| \*\*([\d.]+)\*\* \| \*\*([\d.]+)\*\*",
        text_of("docs/measured_choices.md"),
    )
    assert record == [(seconds, accuracy, loss)]
    of_others = [figure for name, figure in rows if name != "digits.yaml"]
    assert not any(re.search(r"0\.\d", figure) for figure in of_others)

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.cli.verbs import error

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("verb", ["status", "rollback"])
def test_a_registry_without_the_model_is_named(
    verb: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "flowers" in error(verb, "--model", "flowers")


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--model"],
        ["history", "--alias"],
        ["promote", "--to"],
        ["promote", "--reason"],
        ["rollback", "--model"],
        ["copy", "models:/a/1"],
        ["copy", "models:/a/1", "b", "--to-uri"],
    ],
)
def test_bytes_that_are_no_text_are_named_and_not_taken_for_a_fault_of_the_store(
    arguments: list[str], project: Path
) -> None:
    message = error(*arguments, os.fsdecode(b"b\xff"))
    assert "'b\\udcff' has bytes that are not valid text" in message
    assert "store" not in message


def test_a_device_that_is_not_there_is_refused(project: Path, tuned: None) -> None:
    assert error("promote", "--device", "cuda").startswith("--device cuda: ")
    assert error("promote", "--device", "gpu").startswith("--device gpu: choose auto, cpu, ")

from __future__ import annotations

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


def test_a_device_that_is_not_there_is_refused(project: Path, tuned: None) -> None:
    assert error("promote", "--device", "cuda").startswith("--device cuda: ")
    assert error("promote", "--device", "gpu").startswith("--device gpu: choose auto, cpu, ")

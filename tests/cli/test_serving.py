from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import tiny
from tests.cli.verbs import error

if TYPE_CHECKING:
    from pathlib import Path


def test_a_model_directory_can_be_used_outside_of_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuned: None
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.images(tmp_path / "photos", each=1)
    message = error("predict", "no_model", "photos")
    assert "no_model" in message
    assert "thaw init" not in message


@pytest.mark.parametrize("verb", [("predict", "m", "photos"), ("serve", "m")])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "cuda"), "--device cuda: "),
        (("--device", "gpu"), "--device gpu: choose auto, cpu, "),
        (("--precision", "fp16"), "--precision fp16 needs a GPU"),
    ],
)
def test_a_device_or_precision_that_is_not_there_is_refused(
    verb: tuple[str, ...], options: tuple[str, str], message: str, tuned: None
) -> None:
    assert error(*verb, *options).startswith(message)


def test_an_export_is_not_compared_on_a_device_that_is_not_there(tuned: None) -> None:
    assert error("export", "m", "--out", "m.onnx", "--device", "cuda:3").startswith(
        "--device cuda:3: "
    )

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.serving.test_export_result import exported
from tests.serving.test_prediction_summary import summary
from thaw.cli.serving_output import print_export, print_predictions
from thaw.serving.export_result import Latency

if TYPE_CHECKING:
    import pytest


def test_an_export_is_printed_with_its_latencies(capsys: pytest.CaptureFixture[str]) -> None:
    print_export(exported())
    printed = capsys.readouterr()
    assert "m, resized" in printed.out
    assert "16 images, ms per image" in printed.out
    assert "x.onnx: 2.5 MB; equal on 20 images: no label changed" in printed.err
    print_export(exported(ties=2))
    assert "2 labels changed between nearly equal classes" in capsys.readouterr().err


def test_the_folder_of_a_model_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("models/[red]x", "models[/x]"):
        print_export(replace(exported(), model=name, latencies={name: Latency(2.0, 1.0, 16)}))
        assert f"{name}, resized" in capsys.readouterr().out


def test_the_number_of_rows_is_the_result_and_all_else_are_messages(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_predictions(summary((0.5, 9)))
    printed = capsys.readouterr()
    assert printed.out == "out.csv: 1 image predicted\n"
    assert "drift: 0.50 over 9 images" in printed.err
    assert "3 files were skipped" in printed.err
    assert "@eaDir" in printed.err

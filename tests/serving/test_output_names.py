from __future__ import annotations

from pathlib import Path

import pytest

from thaw.errors import ThawError
from thaw.serving.batch_prediction import predict_folder
from thaw.serving.export import export_model
from thaw.serving.output_names import CSV, ONNX, TORCH_EXPORT, refuse_other_format


@pytest.mark.parametrize("name", ["x.parquet", "x.csv.gz", "X.JSON", "a.csv/x.onnx", "x.xlsx"])
def test_a_name_of_another_format_is_refused(name: str) -> None:
    with pytest.raises(ThawError, match=r"a \.csv file is written.*ends in \.csv$"):
        refuse_other_format(Path(name), CSV)


@pytest.mark.parametrize("name", ["x.csv", "X.CSV", "x", "x.txt", "out.2026", "x.onnx.csv"])
def test_other_names_are_accepted(name: str) -> None:
    refuse_other_format(Path(name), CSV)


@pytest.mark.parametrize(
    ("name", "written", "choice"),
    [("m.pt2", ONNX, "torch-export"), ("m.onnx", TORCH_EXPORT, "onnx")],
)
def test_the_option_that_writes_the_named_format_is_given(
    name: str, written: str, choice: str
) -> None:
    with pytest.raises(ThawError, match=rf"\(or set --format {choice}\)$"):
        refuse_other_format(Path(name), written)


def test_predictions_and_exports_are_refused_before_the_model_is_read(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=r"\.csv file is written"):
        predict_folder("models:/x/1", tmp_path, tmp_path / "x.parquet")
    with pytest.raises(ThawError, match=r"\.onnx file is written"):
        export_model("models:/x/1", "onnx", tmp_path / "x.pt2", None, tmp_path)

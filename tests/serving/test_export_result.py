from __future__ import annotations

from pathlib import Path

from thaw.serving.export_result import Exported, Latency
from thaw.serving.parity import Comparison

LATENCIES = {"m": Latency(2.0, 1.0, 16), "onnx": Latency(1.5, 0.5, 16)}


def exported(ties: int = 0) -> Exported:
    found = Comparison(20, 0.012, 0, ties=ties)
    graph = Comparison(20, 0.00001, 0)
    return Exported(Path("x.onnx"), "m", "onnx", 2_500_000, found, graph, LATENCIES)


def test_the_content_has_sizes_differences_and_milliseconds() -> None:
    content = exported(ties=1).content()
    assert (content["file"], content["format"], content["bytes"]) == (
        Path("x.onnx"), "onnx", 2_500_000,
    )  # fmt: skip
    assert content["changed_labels"] == 1
    assert content["largest_difference"] == 0.012
    assert content["milliseconds"]["onnx"] == {
        "one_image": 1.5, "image_of_batch": 0.5, "batch_size": 16,
    }  # fmt: skip

"""Names of output files that say another format than the one that is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.errors import ThawError

if TYPE_CHECKING:
    from pathlib import Path

CSV, ONNX, TORCH_EXPORT = ".csv", ".onnx", ".pt2"
# Endings by which programs choose how to read a file.
_ENDINGS = frozenset(
    {CSV, ONNX, TORCH_EXPORT}
    | {".bz2", ".feather", ".gz", ".html", ".json", ".jsonl", ".ndjson", ".npy", ".npz", ".parquet"}
    | {".pkl", ".pt", ".pth", ".safetensors", ".tflite", ".tsv", ".xls", ".xlsx", ".xz", ".zip"}
    | {".zst"}
)


def refuse_other_format(out: Path, written: str) -> None:
    """Raise if the ending of ``out`` names another format than ``written``, such as ``.csv``.

    Names with other endings, or with none, are accepted.

    Raises:
        ThawError: names both formats.
    """
    ending = out.suffix.lower()
    if ending in _ENDINGS and ending != written:
        other = {ONNX: " (or set --format onnx)", TORCH_EXPORT: " (or set --format torch-export)"}
        choice = other.get(ending, "") if written != CSV else ""
        raise ThawError(
            f"--out: {out}: a {written} file is written, and no {ending} file: give a name that "
            f"ends in {written}{choice}"
        )

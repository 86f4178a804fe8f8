from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.formats.images import images
from thaw.model.predictor import Predictor

FORMATS = Path(__file__).parents[1] / "formats"
FOLDERS = sorted(path.parent for path in FORMATS.rglob("model.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_model_directory_of_any_format_computes_what_it_did_when_it_was_written(
    folder: Path,
) -> None:
    expected = json.loads((folder.parent / "expected.json").read_text())[folder.name]
    found = Predictor(folder).probabilities(images())
    assert torch.allclose(found.double(), torch.tensor(expected).double(), atol=1e-4)

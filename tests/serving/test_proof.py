from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.registry.served import image
from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving.proof import Proof, prove

if TYPE_CHECKING:
    from pathlib import Path


def test_a_model_that_computes_something_else_is_not_proved(model: Path) -> None:
    predictor = Predictor(model)
    batches = [torch.cat([predictor.read(image(seed)) for seed in range(4)])]
    assert prove(predictor.forward, predictor.forward, batches).holds
    assert not prove(predictor.forward, predictor.forward, []).holds
    for other in (
        lambda inputs: predictor.forward(inputs) + 2e-4,
        lambda inputs: predictor.forward(inputs).flip(1),
        lambda inputs: predictor.forward(inputs) * np.nan,
    ):
        assert not prove(predictor.forward, other, batches).holds


def test_a_proof_that_fails_says_by_how_much_and_what_follows() -> None:
    Proof(images=4, largest_move=1e-5, changed=0).check("nothing is written")
    message = r"over 4 images a probability moved by up to 0\.02 .* 1 labels changed; it stays"
    with pytest.raises(ThawError, match=message):
        Proof(images=4, largest_move=0.02, changed=1).check("it stays")

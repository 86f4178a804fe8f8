from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests import tiny
from tests.training import phase
from tests.training.greedy import greedy
from thaw.training.out_of_memory import MemoryShortageError
from thaw.training.runtime import logits
from thaw.training.scoring_passes import ScoringPasses

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

CPU = torch.device("cpu")


@pytest.mark.parametrize("most", [1, 3, 100, 128])
def test_as_many_images_are_scored_at_once_as_fit(
    most: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = phase.images(tmp_path / "data", 150)
    expected = logits(tiny.runtime(), tiny.classifier(), source, "validation")
    model = tiny.classifier()
    greedy(model.head, most, with_gradients=False)
    sizes: list[int] = []
    model.head.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    found = logits(tiny.runtime(), model, source, "validation")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    fits = {1: 1, 3: 2, 100: 64, 128: 128}[most]
    assert max(sizes) == fits
    assert sizes[-1] == min(fits, 22)  # the second batch is not tried as a whole again
    said = "validation: 128 images at once exhaust the memory of cpu: trying 64\n"
    assert (said in capsys.readouterr().err) == (fits < 128)


def test_a_batch_that_fits_is_passed_as_it_is() -> None:
    given: list[Tensor] = []

    def network(inputs: Tensor) -> Tensor:
        given.append(inputs)
        return inputs

    inputs = torch.zeros(128, 2)
    assert ScoringPasses(network, "", CPU).outputs(inputs) is inputs  # type: ignore[arg-type]
    assert given[0] is inputs


@pytest.mark.parametrize("error", [ZeroDivisionError(), torch.OutOfMemoryError("CUDA")])
def test_other_errors_and_those_of_divided_weights_are_raised(error: Exception) -> None:
    passes: list[int] = []

    def network(inputs: Tensor) -> Tensor:
        passes.append(len(inputs))
        raise error

    shards = isinstance(error, torch.OutOfMemoryError)  # other processes wait in the same pass
    scoring = ScoringPasses(network, "", CPU, shards=shards)  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        scoring.outputs(torch.zeros(4, 1))
    assert passes == [4]


def test_the_memory_of_a_pass_that_failed_is_free_before_the_next() -> None:
    freed: list[bool] = []

    class Activations:
        def __del__(self) -> None:
            freed.append(True)

    def network(inputs: Tensor) -> Tensor:
        held: Any = Activations()
        if len(inputs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        assert freed
        del held
        return inputs

    ScoringPasses(network, "", CPU).outputs(torch.zeros(4, 1))  # type: ignore[arg-type]


def test_one_image_that_does_not_fit_is_an_error_with_what_to_do() -> None:
    model = tiny.classifier()
    greedy(model.head, 0, with_gradients=False)
    expected = r"^out of memory \(validation\): 1 image does not fit .*backbone\.image_size"
    with torch.no_grad(), pytest.raises(MemoryShortageError, match=expected):
        ScoringPasses(model, "validation", CPU).outputs(torch.zeros(3, 3, 16, 16))

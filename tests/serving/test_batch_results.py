from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.registry.served import image
from thaw.model.predictor import Predictor
from thaw.serving import batch_results
from thaw.serving.batch_results import BatchResult, in_batches, on_cores, on_device
from thaw.training.out_of_memory import MemoryShortageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COUNT = 23


@pytest.fixture
def batches(tmp_path: Path) -> list[Any]:
    names = [f"{number:02d}.png" for number in range(COUNT)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(b"" if number in {1, 8, 9, 10, 11} else image(number))
    return in_batches(names, 4)


def together(results: list[BatchResult]) -> tuple[list[str], torch.Tensor, list[tuple[str, str]]]:
    paths = [path for result in results for path in result.paths]
    probabilities = torch.cat([result.probabilities for result in results if result.paths])
    return paths, probabilities, [failure for result in results for failure in result.failed]


def test_paths_are_divided_in_their_order() -> None:
    assert in_batches(["a", "b", "c"], 2) == [["a", "b"], ["c"]]
    assert in_batches([], 0) == []


def test_a_device_gives_the_results_of_the_cores_in_the_same_order(
    model: Path, batches: list[Any], tmp_path: Path
) -> None:
    predictor = Predictor(model)
    on_cpu = together(list(on_cores(predictor, tmp_path, batches)))
    found = together(list(on_device(predictor, tmp_path, batches)))
    assert found[0] == on_cpu[0]
    assert len(found[0]) == COUNT - 5
    torch.testing.assert_close(found[1], on_cpu[1], rtol=0, atol=1e-6)
    assert found[2] == on_cpu[2]
    assert [path for path, _ in found[2]] == ["01.png", "08.png", "09.png", "10.png", "11.png"]


class FakeDevice:
    """A predictor that records when batches are started and waited for."""

    def __init__(self, predictor: Predictor) -> None:
        self.reader, self.device = predictor.reader, "fake"
        self.events: list[str] = []
        self._predictor = predictor

    def start(self, images: torch.Tensor, *, watch: bool) -> Callable[[], torch.Tensor]:
        number = sum(event.startswith("start") for event in self.events)
        self.events.append(f"start {number}")
        result = self._predictor.forward(images, watch=watch)

        def wait() -> torch.Tensor:
            self.events.append(f"wait {number}")
            return result

        return wait


def test_the_next_batches_are_started_before_a_result_is_waited_for(
    model: Path, batches: list[Any], tmp_path: Path
) -> None:
    device: Any = FakeDevice(Predictor(model))
    results = on_device(device, tmp_path, batches)
    assert next(results).paths == ["00.png", "02.png", "03.png"]
    assert device.events == ["start 0", "start 1", "wait 0"]  # the third batch has no image
    assert next(results).paths == batches[1]
    assert device.events[3:] == ["start 2", "wait 1"]
    list(results)
    assert device.events[5:] == ["start 3", "start 4", "wait 2", "wait 3", "wait 4"][:5]


def test_a_probability_that_is_not_finite_gives_no_row(
    model: Path, batches: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = Predictor.compute

    def broken(self: Predictor, images: torch.Tensor, *, watch: bool) -> torch.Tensor:
        found = compute(self, images, watch=watch).clone()
        found[-1] = float("nan")
        return found

    monkeypatch.setattr(Predictor, "compute", broken)
    for compute_all in (on_cores, on_device):
        (result,) = compute_all(Predictor(model), tmp_path, batches[:1])
        assert result.paths == ["00.png", "02.png"]
        assert result.failed[-1] == ("03.png", batch_results._NOT_FINITE)


def test_a_device_without_memory_for_a_batch_is_named_with_the_remedy(
    model: Path, batches: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Predictor, "compute", fail)
    with pytest.raises(MemoryShortageError, match=r"^out of memory on cpu:.*smaller --batch-size"):
        list(on_device(Predictor(model), tmp_path, batches))

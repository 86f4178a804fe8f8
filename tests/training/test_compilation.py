from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch

from tests import tiny
from tests.training import phase
from tests.training.test_step_choices import data, trained
from thaw.errors import ThawError
from thaw.training.compilation import decide, distance
from thaw.training.precision import Precision
from thaw.training.rehearsal import Outcome
from thaw.training.runtime import Runtime

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.process_sections import CompileSetting
    from thaw.training.rehearsal import Rehearsal


class OnGpu(Runtime):
    """The runtime of a process that has a GPU."""

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", 0)

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        return value


class Timed:
    """A rehearsal, its learner and network, with given times of an eager and of a compiled step.

    The gradient of a compiled step is ``error`` times as long as that of an eager one.
    """

    def __init__(
        self,
        eager: float,
        compiled: float | Exception,
        runtime: type[Runtime] = OnGpu,
        *,
        error: float = 1.0,
        precision: str = "fp32",
    ) -> None:
        made = replace(tiny.runtime(), precision=Precision(precision))
        self.runtime = runtime(**vars(made))
        self.learner = self.network = self
        self.is_compiled = False
        self.is_restored = True
        self.measured = 0
        self._eager, self._compiled, self._error = eager, compiled, error

    def compile(self) -> None:
        self.is_compiled = True

    def rewrap(self, *, compiled: bool) -> None:
        self.is_compiled = compiled

    def restore(self) -> None:
        self.is_restored = True

    def outcome(self, _: int) -> Outcome:
        self.seconds()
        length = self._error if self.is_compiled else 1.0
        one, statistics = torch.ones(()), torch.ones(3)
        return Outcome(one, [length * torch.ones(2, 2)], [statistics, torch.tensor(3)])

    def seconds(self) -> float:
        self.measured += 1
        if not self.is_compiled:
            return self._eager
        self.is_restored = False
        if isinstance(self._compiled, Exception):
            raise self._compiled
        self.is_restored = True
        return self._compiled


def decided(wanted: CompileSetting, timed: Timed, steps: int) -> bool:
    found = decide(wanted, cast("Rehearsal", timed), steps)
    assert timed.is_compiled == found
    assert timed.is_restored
    return found


@pytest.mark.parametrize(
    ("eager", "compiled", "steps", "is_on"),
    [
        (0.1, 0.07, 10_000, True),
        (0.1, 0.07, 1_000, False),  # a training of 100 s
        (0.1, 0.1, 10_000, False),
        (0.1, 0.12, 10_000, False),
    ],
)
def test_auto_compiles_on_a_gpu_where_the_steps_repay_it(
    eager: float, compiled: float, steps: int, is_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 60.0])  # the compiler takes a minute
    monkeypatch.setattr("thaw.training.compilation.time.perf_counter", lambda: next(clock))
    assert decided("auto", Timed(eager, compiled), steps) is is_on


def test_auto_is_off_on_a_cpu_without_a_measurement() -> None:
    timed = Timed(100.0, 1.0, Runtime)
    assert not decided("auto", timed, 1_000_000)
    assert not decided("off", Timed(100.0, 1.0), 1_000_000)
    assert timed.measured == 0


def test_a_network_that_torch_cannot_compile_is_computed_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = RuntimeError("no C++ compiler\nmany lines")
    assert not decided("auto", Timed(1.0, broken), 10_000)
    said = "launch.compile: off: torch cannot compile: no C++ compiler\n"
    assert said in capsys.readouterr().err
    with pytest.raises(ThawError, match=r"launch\.compile: .* no C\+\+ compiler: set off"):
        decided("on", Timed(1.0, broken), 10_000)


def test_a_compiled_step_that_exhausts_the_memory_is_reported_as_that(
    capsys: pytest.CaptureFixture[str],
) -> None:
    greedy = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert not decided("auto", Timed(1.0, greedy), 10_000)
    expected = "launch.compile: off: a compiled step does not fit into the memory of cuda:0"
    said = capsys.readouterr().err.replace("\n", " ")
    assert expected in said
    assert "cannot compile" not in said
    with pytest.raises(ThawError, match="step does not fit into the memory of cuda:0: set off"):
        decided("on", Timed(1.0, greedy), 10_000)


@pytest.mark.parametrize("wanted", ["auto", "on"])
@pytest.mark.parametrize(
    ("precision", "error", "is_on"),
    [
        ("fp32", 1.0009, True),
        ("fp32", 1.002, False),
        ("fp32", float("nan"), False),
        ("tf32", 1.002, True),
        ("bf16", 1.1, True),
        ("bf16", -1.0, False),  # as long, in the opposite direction
    ],
)
def test_a_compiled_step_that_differs_is_not_used(
    wanted: CompileSetting,
    precision: str,
    error: float,
    is_on: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    timed = Timed(1.0, 0.5, error=error, precision=precision)
    assert decided(wanted, timed, 10_000) is is_on
    said = "launch.compile: off: a compiled step differs (its gradients by"
    assert (said in capsys.readouterr().err.replace("\n", " ")) is not is_on


class BesideOneThatFails(OnGpu):
    """The runtime of the first of two processes, of which the other one fails."""

    def all_agree(self, condition: bool) -> bool:
        return False


@pytest.mark.parametrize("fails", [True, False])
def test_a_network_is_compiled_in_all_processes_or_in_none(fails: bool) -> None:
    compiled = RuntimeError("no C compiler") if fails else 0.5
    assert not decided("auto", Timed(1.0, compiled, BesideOneThatFails), 10_000)
    own = "torch cannot compile: no C compiler"
    reason = own if fails else "a compiled step failed in another process"
    with pytest.raises(ThawError, match=rf"launch\.compile: {reason}: set off"):
        decided("on", Timed(1.0, compiled, BesideOneThatFails), 10_000)


@pytest.mark.pipelines
def test_a_process_whose_compiler_fails_does_not_leave_the_other_waiting(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    out = phase.two_ranks(tmp_path_factory)
    first, second = ((out / f"compiled-{rank}.txt").read_text() for rank in range(2))
    assert first == "launch.compile: a compiled step failed in another process: set off"
    assert second == "launch.compile: torch cannot compile: no C++ compiler: set off"


def test_distances_are_those_of_all_numbers_and_relative() -> None:
    found, expected = [torch.tensor([3.0, 4.0])], [torch.tensor([3.0]), torch.tensor([0.0])]
    assert distance(found, found) == 0.0
    assert distance([torch.tensor([3.0]), torch.tensor([6.0])], expected) == 2.0
    assert distance(found, expected) == float("inf")
    assert distance([torch.tensor([0.5])], [torch.tensor([0.0])]) == 0.5
    assert distance([torch.tensor(5)], [torch.tensor(1)]) == 0.0  # a counter
    assert distance([], []) == 0.0


@pytest.mark.pipelines
def test_a_compiled_training_has_the_losses_of_an_eager_one_and_resumes_to_the_same_bits(
    tmp_path: Path,
) -> None:
    train, val = data(tmp_path)
    model: Any = lambda: phase.model(2, "train", dropout=0.5)  # noqa: E731
    eager = trained(tmp_path / "off", (train, val), model())
    undisturbed = trained(tmp_path / "a", (train, val), model(), compile="on")
    assert json.loads((tmp_path / "a/choices.json").read_text())["compiled"]
    for name, value in eager.items():
        assert undisturbed[name].float().sub(value.float()).abs().max() < 5e-3, name
    folder = tmp_path / "b"
    dying = phase.Dying(train, 9)
    with pytest.raises(phase.Killed):
        trained(folder, (dying, val), model(), checkpoint_minutes=1e-9, compile="on")
    resumed = trained(folder, (train, val), model(), compile="on")
    assert phase.differing(undisturbed, resumed) == []

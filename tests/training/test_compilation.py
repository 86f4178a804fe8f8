from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
import torch

from tests import tiny
from tests.training import phase
from tests.training.test_step_choices import data, trained
from thaw.errors import ThawError
from thaw.training.compilation import decide
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
    """A rehearsal, its learner and network, with given times of an eager and of a compiled step."""

    def __init__(self, eager: float, compiled: float | Exception, *, gpu: bool = True) -> None:
        runtime = tiny.runtime()
        self.runtime = OnGpu(**vars(runtime)) if gpu else runtime
        self.learner = self.network = self
        self.is_compiled = False
        self.measured = 0
        self._eager, self._compiled = eager, compiled

    def compile(self) -> None:
        self.is_compiled = True

    def rewrap(self, *, compiled: bool) -> None:
        self.is_compiled = compiled

    def seconds(self) -> float:
        self.measured += 1
        if not self.is_compiled:
            return self._eager
        if isinstance(self._compiled, Exception):
            raise self._compiled
        return self._compiled


def decided(wanted: CompileSetting, timed: Timed, steps: int) -> bool:
    found = decide(wanted, cast("Rehearsal", timed), steps)
    assert timed.is_compiled == found
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
    timed = Timed(100.0, 1.0, gpu=False)
    assert not decided("auto", timed, 1_000_000)
    assert not decided("off", Timed(100.0, 1.0), 1_000_000)
    assert timed.measured == 0


def test_a_network_that_torch_cannot_compile_is_computed_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = RuntimeError("no C++ compiler\nmany lines")
    assert not decided("auto", Timed(1.0, broken), 10_000)
    assert "torch cannot compile, so that it is off: no C++ compiler\n" in capsys.readouterr().err
    with pytest.raises(ThawError, match=r"launch\.compile: .* no C\+\+ compiler: set off"):
        decided("on", Timed(1.0, broken), 10_000)


@pytest.mark.pipelines
def test_a_compiled_training_has_the_losses_of_an_eager_one_and_resumes_to_the_same_bits(
    tmp_path: Path,
) -> None:
    train, val = data(tmp_path)
    model: Any = lambda: phase.model(2, "train", dropout=0.5)  # noqa: E731
    eager = trained(tmp_path / "off", (train, val), model())
    undisturbed = trained(tmp_path / "a", (train, val), model(), compile="on")
    for name, value in eager.items():
        assert undisturbed[name].float().sub(value.float()).abs().max() < 5e-3, name
    folder = tmp_path / "b"
    dying = phase.Dying(train, 9)
    with pytest.raises(phase.Killed):
        trained(folder, (dying, val), model(), checkpoint_minutes=1e-9, compile="on")
    resumed = trained(folder, (train, val), model(), compile="on")
    assert phase.differing(undisturbed, resumed) == []

"""The capture of a network as CUDA graphs: its form on a CPU, itself on a GPU."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from thaw.training.determinism import debug_mode
from thaw.training.precision import Precision
from thaw.training.step_graph import _end_failed_capture, _ended_captures, captured

if TYPE_CHECKING:
    from collections.abc import Iterator

FP32 = Precision("fp32")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Dropout(0.5), nn.Linear(5, 3))


def gradients(given: nn.Module) -> list[torch.Tensor]:
    found = [p.grad.clone() for p in given.parameters() if p.grad is not None]
    given.zero_grad()
    return found


def test_a_network_is_captured_with_its_weights_and_without_kept_conversions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []

    def capture(module: nn.Module, example: tuple[torch.Tensor], pool: Any) -> Any:
        assert pool is None  # of a GPU
        seen.extend([list(module.parameters()), example[0], torch.is_autocast_cache_enabled()])
        return module

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", capture)
    given, example = network(), torch.ones(2, 6)
    found: Any = captured(given, example, Precision("bf16"))
    assert [id(p) for p in seen[0]] == [id(p) for p in given.parameters()]
    assert seen[1] is not example  # the copy into which later inputs are written
    assert seen[2] is False
    assert found(example).shape == (2, 3)
    assert found is not given  # whose own forward stays as it is


def computed(module: nn.Module, example: tuple[torch.Tensor], pool: Any) -> nn.Module:
    """Compute what torch computes in a capture."""
    module(*example).sum().backward()
    return module


def test_forward_and_backward_pass_are_as_deterministic_as_without_graphs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Show that a strict step has a strict backward pass, and a forward pass that warns."""
    modes: list[int] = []

    class Seen(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            modes.append(torch.get_deterministic_debug_mode())
            return x * 1

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            modes.append(torch.get_deterministic_debug_mode())
            return gradient

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", computed)
    given = nn.Linear(6, 3)
    with debug_mode(1):
        for is_strict in (True, False):
            captured(lambda x: Seen.apply(given(x)), torch.ones(2, 6), FP32, is_strict=is_strict)
        assert torch.get_deterministic_debug_mode() == 1
    assert modes == [1, 2, 1, 1]


def test_a_compiled_network_is_not_compiled_again_for_its_capture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch._dynamo.testing import CompileCounter  # the compiler takes 2 s to import

    counter = CompileCounter()
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", computed)
    network, example = nn.Linear(6, 3), torch.ones(2, 6)
    compiled = torch.compile(network, backend=counter, dynamic=False)
    with debug_mode(1):
        compiled(example)
        captured(compiled, example, FP32, is_strict=True)
        compiled(example)
    assert counter.frame_count == 1


class Generator:
    """The generator of a GPU, which is not there: it says where its state is from."""

    state = ""

    def clone_state(self) -> str:
        return "copied"

    def graphsafe_set_state(self, state: str) -> None:
        self.state = state


def test_a_capture_that_fails_on_a_gpu_is_ended_on_the_stream_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch's calls are recorded here; the test below makes them."""
    calls: list[Any] = []

    @contextlib.contextmanager
    def stream(given: str) -> Iterator[None]:
        calls.append(f"enter {given}")
        try:
            yield
        finally:
            calls.append(f"leave {given}")

    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 7))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: "stream")
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", lambda *args: calls.append(args))
    monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda *_: calls.append("release"))
    generators = [Generator(), Generator()]
    monkeypatch.setattr(torch.cuda, "default_generators", generators)
    gpu = torch.device("cuda", 1)

    def fail() -> None:
        with _ended_captures(gpu) as pool:
            calls.append(pool)
            raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="capturing"):
        fail()
    assert calls == ["enter stream", (0, 7), (1, (0, 7)), "release", "leave stream"]
    # The generator of this GPU draws again: its state is a new one, which no capture has.
    assert [each.state for each in generators] == ["", "copied"]
    calls.clear()
    with _ended_captures(gpu):
        pass
    assert calls == ["enter stream", "leave stream"]


def test_a_capture_that_torch_has_ended_itself_is_not_released_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("endAllocatePool: not currently recording to mempool_id")

    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", refuse)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda *_: pytest.fail("released"))
    generator = Generator()
    monkeypatch.setattr(torch.cuda, "default_generators", [generator])
    _end_failed_capture(torch.device("cuda", 0), (0, 7))
    assert generator.state == "copied"


@pytest.mark.gpu
def test_a_failed_capture_leaves_no_trace_on_the_gpu() -> None:
    class Reads(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            large = x.new_ones(2**26)  # 256 MiB
            return super().forward(x) * float(large[0])  # waits for the GPU: cannot be captured

    device = torch.device("cuda", torch.cuda.current_device())
    before, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    torch.cuda.empty_cache()
    reserved = torch.cuda.memory_reserved()
    with pytest.raises(RuntimeError):
        captured(Reads(6, 3).to(device), torch.ones(2, 6, device=device), FP32)
    gc.collect()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() < reserved + 2**27
    assert torch.cuda.current_stream() == before
    nn.functional.dropout(torch.ones(8, device=device))  # draws
    held = []
    for _ in range(20):  # batches that two streams use
        with torch.cuda.stream(side):
            batch = torch.ones(2**22, device=device)
        batch.record_stream(before)
        del batch
        torch.cuda.synchronize()
        held.append(torch.cuda.memory_reserved())
    assert held[-1] == held[1]


@pytest.mark.gpu
def test_graphs_draw_the_dropout_of_the_network_in_each_replay() -> None:
    given, example = network().cuda(), torch.ones(2, 6, device="cuda")
    graphed = captured(given, example, Precision("bf16"))
    for seed in (1, 2):
        other = torch.randn(2, 6, device="cuda")
        results = []
        for compute in (given, graphed):
            torch.cuda.manual_seed(seed)
            with torch.autocast("cuda", torch.bfloat16):
                outputs = compute(other)
            outputs.float().sum().backward()
            results.append([outputs.detach().clone(), *gradients(given)])
        for one, two in zip(*results, strict=True):
            assert torch.equal(one, two)

"""The capture of a network as CUDA graphs: its form on a CPU, itself on a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from thaw.training.precision import Precision
from thaw.training.step_graph import captured


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

    def capture(module: nn.Module, example: tuple[torch.Tensor]) -> Any:
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

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from tests import tiny
from tests.training import phase
from tests.training.test_rehearsal import rehearsal
from thaw.training import determinism
from thaw.training.determinism import is_refusal, only_deterministic
from thaw.training.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path


class _Random(torch.autograd.Function):
    """An operation whose gradient has no deterministic kernel, as torch's on a GPU."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        _alert()
        return gradient


def _alert() -> None:
    if not torch.is_deterministic_algorithms_warn_only_enabled():
        raise RuntimeError("random_backward_cuda does not have a deterministic implementation")


class Random(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        found: Tensor = _Random.apply(values)
        return found


@pytest.fixture(autouse=True)
def _as_in_a_stage() -> Any:
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("warn")
    yield
    torch.set_deterministic_debug_mode(before)


def test_operations_without_a_deterministic_kernel_are_errors_in_the_block_only() -> None:
    values = torch.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError) as caught, only_deterministic():
        Random()(values).sum().backward()
    assert is_refusal(caught.value)
    assert torch.get_deterministic_debug_mode() == 1  # warn
    Random()(values).sum().backward()


def test_other_errors_are_no_refusals() -> None:
    assert not is_refusal(RuntimeError("out of memory"))
    assert not is_refusal(ValueError("not deterministic"))


def test_a_network_with_deterministic_kernels_is_found_and_left_as_it_was() -> None:
    model = phase.model(3, "train")
    made, before = rehearsal(model), phase.state(model)
    assert made.is_deterministic()
    assert phase.differing(before, phase.state(model)) == []
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not made.learner.step.is_strict


def test_a_network_without_them_is_found() -> None:
    model = phase.model(3, "train")
    model.blocks[1] = nn.Sequential(model.blocks[1], Random())
    phase.set_plan(model, model.plan)  # type: ignore[arg-type]
    assert not rehearsal(model).is_deterministic()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_strict_steps_refuse_what_was_not_tried() -> None:
    model = phase.model(3, "train")
    model.blocks[1] = nn.Sequential(model.blocks[1], Random())
    phase.set_plan(model, model.plan)  # type: ignore[arg-type]
    step = rehearsal(model).learner.step
    loss = model(torch.zeros(2, 3, 16, 16)).sum()
    step.is_strict = True
    with pytest.raises(RuntimeError, match="deterministic"):
        step.backward(loss)


def fused_attention() -> list[bool]:
    """Return which kinds of attention are allowed, besides matrix products."""
    names = ("flash_sdp", "mem_efficient_sdp", "cudnn_sdp")
    return [getattr(torch.backends.cuda, f"{name}_enabled")() for name in names]


def test_plain_attention_uses_matrix_products_until_the_end_of_the_block() -> None:
    before = fused_attention()
    assert any(before)
    with determinism.attention_restored():
        determinism.use_plain_attention()
        assert not any(fused_attention())
        assert torch.backends.cuda.math_sdp_enabled()  # type: ignore[no-untyped-call]
    assert fused_attention() == before


def test_a_phase_of_plain_attention_does_not_change_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Show it for short trainings that a stage compares, and does not repeat when resumed."""
    monkeypatch.setattr(Rehearsal, "is_deterministic", lambda _: False)
    before, during = fused_attention(), list[bool]()
    sources = phase.images(tmp_path / "train"), phase.images(tmp_path / "val", phase.VAL)
    runtime = replace(tiny.runtime(), asynchronous=True)
    phase.fit(
        tmp_path,
        phase.model(2),
        sources,
        runtime=runtime,
        log=lambda _: during.extend(fused_attention()),
    )
    assert during
    assert not any(during)
    assert fused_attention() == before


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_in_a_strict_backward_pass_gives_the_same_bits_again(dtype: torch.dtype) -> None:
    query = torch.randn(16, 12, 197, 64, device="cuda", dtype=dtype, requires_grad=True)
    gradients = []
    determinism.prefer_deterministic()
    for _ in range(5):
        found = torch.nn.functional.scaled_dot_product_attention(query, query, query)
        with only_deterministic():
            (gradient,) = torch.autograd.grad(found.float().square().sum(), query)
        gradients.append(gradient)
    assert all(torch.equal(gradients[0], other) for other in gradients[1:])

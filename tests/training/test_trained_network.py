from __future__ import annotations

import contextlib

import pytest
import torch

from tests import tiny
from tests.training import phase
from tests.training.test_learner import batch, learner
from thaw.model.freeze_plan import last_blocks
from thaw.training.trained_network import TrainedNetwork


@pytest.mark.parametrize(("depth", "small", "threads"), [(0, 4e6, 1), (0, 0.0, 2), (1, 4e6, 2)])
def test_a_small_head_learns_in_one_thread_and_what_is_below_it_in_all(
    depth: int, small: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thaw.training.trained_network._SMALL", small)
    model = phase.model(depth)
    seen: dict[str, int] = {}
    model.head.register_forward_pre_hook(lambda *_: seen.update(head=torch.get_num_threads()))
    model.pool.register_forward_pre_hook(lambda *_: seen.update(pool=torch.get_num_threads()))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        learner(model).learn(batch(), 1, 0, 0)
        assert seen == {"head": threads, "pool": 2}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def network(depth: int, images: int = 6) -> TrainedNetwork:
    return TrainedNetwork(tiny.runtime(), phase.model(depth, "frozen"), 0, images)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_both_parts_together_compute_the_whole_network(depth: int) -> None:
    made = network(depth)
    expected = phase.model(depth, "frozen")(batch().inputs)
    middle = made.frozen_outputs(batch().inputs)
    torch.testing.assert_close(made.logits(middle), expected)  # BatchNorm is merged in one
    torch.testing.assert_close(made.whole(batch().inputs), expected)
    assert not middle.requires_grad
    assert (depth == 3) == torch.equal(middle, batch().inputs)  # of three blocks, none is frozen


def test_closing_does_not_hide_the_error_that_ended_the_phase(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failed() -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    made = network(1)
    made._full = object()  # stands for graphs
    monkeypatch.setattr(torch.cuda, "empty_cache", failed)
    with pytest.raises(ZeroDivisionError), contextlib.closing(made):
        raise ZeroDivisionError
    assert made._full is None


def test_a_new_plan_makes_a_new_wrapper_and_drops_gradients() -> None:
    model = phase.model(3, "frozen")
    made = TrainedNetwork(tiny.runtime(), model, 0, 6)
    torch.autograd.backward(made.logits(batch().inputs).sum())
    before = made.wrapped
    phase.set_plan(model, last_blocks(1, 3, "frozen"))
    made.rewrap()
    assert made.wrapped is not before
    assert all(parameter.grad is None for parameter in model.parameters())
    assert made.frozen_outputs(batch().inputs).shape != batch().inputs.shape


def test_full_pieces_are_computed_by_what_is_compiled_and_others_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computed: list[int] = []

    def noted(inner: torch.nn.Module) -> torch.nn.Module:
        network = torch.nn.Sequential(inner)
        network.register_forward_pre_hook(lambda _, inputs: computed.append(len(inputs[0])))
        return network

    monkeypatch.setattr("thaw.training.trained_network.compiled", noted)
    made = network(3)
    made.compile()
    made.divide(2)
    assert (made.piece_size, made.is_compiled) == (3, True)
    for images in (3, 2):
        made.logits(batch(images).inputs)
    assert computed == [3]
    made.rewrap(compiled=False)
    made.logits(batch(3).inputs)
    assert computed == [3]

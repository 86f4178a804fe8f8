from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.distributed as dist
from torch import nn

from thaw.training import divided_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start the group of one process, which has all parts: test_sharding has two."""
    file = tmp_path_factory.mktemp("group") / "meeting"
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def divided(group: None) -> nn.Module:
    torch.manual_seed(0)
    return divided_tensors.divide(nn.Linear(3, 2), torch.device("cpu"), 1)


def test_a_divided_module_computes_what_it_computed(divided: nn.Module) -> None:
    torch.manual_seed(0)
    inputs = torch.ones(1, 3)
    assert torch.equal(divided(inputs), nn.Linear(3, 2)(inputs))


def test_the_parameters_of_a_divided_module_are_divided(divided: nn.Module) -> None:
    for parameter in divided.parameters():
        assert divided_tensors.is_divided(parameter)
        assert not divided_tensors.is_divided(divided_tensors.share(parameter))
        assert not divided_tensors.is_divided(divided_tensors.whole(parameter))


def test_a_part_is_no_copy_and_becomes_the_tensor_again(divided: nn.Module) -> None:
    state = divided.state_dict()
    parts = {name: divided_tensors.share(value) for name, value in state.items()}
    assert parts["weight"].data_ptr() == divided_tensors.share(state["weight"]).data_ptr()
    again = divided_tensors.from_shares(state, parts)
    for name, value in again.items():
        assert divided_tensors.is_divided(value)
        assert torch.equal(divided_tensors.whole(value), divided_tensors.whole(state[name]))


def test_a_value_is_divided_as_the_example(divided: nn.Module) -> None:
    value = torch.arange(6.0).view(2, 3)
    found = divided_tensors.divided_like(divided.state_dict()["weight"], value)
    assert torch.equal(divided_tensors.whole(found), value)
    assert divided_tensors.divided_like(value, value) is value


def test_whole_tensors_are_left_as_they_are() -> None:
    tensor = torch.arange(3)
    assert not divided_tensors.is_divided(tensor)
    assert divided_tensors.share(tensor) is tensor
    assert divided_tensors.whole(tensor) is tensor
    assert divided_tensors.from_shares({"a": tensor}, {"a": tensor})["a"] is tensor

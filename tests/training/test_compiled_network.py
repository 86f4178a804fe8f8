from __future__ import annotations

import copy

import pytest
import torch

from tests import tiny
from thaw.training.compiled_network import compiled


@pytest.mark.pipelines  # the compiler of C++
def test_a_compiled_network_computes_the_same_up_to_rounding_and_repeats_its_bits() -> None:
    images = torch.randn(8, 3, 16, 16)
    gradients = []
    for network in (tiny.classifier(), *(compiled(tiny.classifier()) for _ in range(2))):
        network.train()
        network(images).square().sum().backward()
        found = {
            name.removeprefix("_orig_mod."): copy.deepcopy(parameter.grad)
            for name, parameter in network.named_parameters()
        }
        gradients.append(found)
    eager, first, second = gradients
    assert eager.keys() == first.keys()
    for name, expected in eager.items():
        torch.testing.assert_close(first[name], expected, rtol=1e-3, atol=1e-3, msg=name)
        assert torch.equal(first[name], second[name]), name

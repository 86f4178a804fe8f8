from __future__ import annotations

import subprocess
import sys

import pytest

from thaw.system.deferred_compiler import COMPILER, compiler_deferred


def output(code: str) -> str:
    """Return what ``code`` prints in a Python of its own, in which nothing is imported yet."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_networks_are_imported_without_the_compiler_which_works_when_it_is_used_later() -> None:
    found = output(
        """
import sys
import torch
from thaw.model import timm_backbones, torchvision_backbones
from thaw.system.deferred_compiler import compiler_deferred
with compiler_deferred():
    from torchvision.transforms.v2 import RandAugment

    @torch.compiler.disable
    def marked(x):
        return torch.compiler.is_compiling(), x + 1
print(sorted(sys.modules.keys() & {"torch._dynamo", "torch._inductor", "sympy"}))

import torchvision
boxes = [torch.tensor([[0.0, 0.0, 4.0, 4.0]])]
print(torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), boxes, 1).item())
compiled = torch.compile(lambda x: x + 1, backend="eager")
print(compiled(torch.zeros(1)).item(), torch._dynamo.__file__ is not None)

print(marked(torch.zeros(1)), torch.compile(lambda x: marked(x), backend="eager")(torch.zeros(1)))
"""
    )
    marked_result = "(False, tensor([1.]))"
    assert found.splitlines() == ["[]", "1.0", "1.0 True", f"{marked_result} {marked_result}"]


@pytest.mark.slow
def test_a_library_that_uses_the_compiler_at_once_gets_the_real_one() -> None:
    found = output(
        """
import sys
import torch
from thaw.system.deferred_compiler import compiler_deferred
with compiler_deferred():
    import torch._dynamo.utils
    from torch._dynamo.utils import counters
    from torch._dynamo import eval_frame
    import torch._dynamo.config
real = sys.modules["torch._dynamo"].__file__ is not None
print(type(counters).__name__, eval_frame.__name__, real)
"""
    )
    assert found == "defaultdict torch._dynamo.eval_frame True"


def test_an_imported_compiler_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    present = sys.modules.get(COMPILER, sys)
    monkeypatch.setitem(sys.modules, COMPILER, present)
    with compiler_deferred():
        assert sys.modules[COMPILER] is present
    assert sys.modules[COMPILER] is present


@pytest.mark.slow
def test_an_optimizer_steps_without_the_compiler_and_its_step_can_be_compiled_later() -> None:
    found = output(
        """
import sys
import torch
from thaw.system.deferred_compiler import compiler_deferred
weight = torch.nn.Parameter(torch.ones(1))
optimizer = None

def step():
    weight.sum().backward()
    optimizer.step()
    optimizer.zero_grad()

with compiler_deferred():
    optimizer = torch.optim.SGD([weight], lr=0.5)
    step()
    print(weight.item(), sorted(sys.modules.keys() & {"torch._inductor", "sympy"}))
print("torch._dynamo" in sys.modules)
torch.compile(step, backend="eager")()
print(weight.item(), sys.modules["torch._dynamo"].__file__ is not None)
"""
    )
    assert found.splitlines() == ["0.5 []", "False", "0.0 True"]

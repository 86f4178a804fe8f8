from __future__ import annotations

import subprocess
import sys

import pytest

from thaw.system.deferred_compiler import COMPILER, compiler_deferred

NETWORKS = """
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
LIBRARY = """
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
OPTIMIZER = """
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
# Runs each argument in a fork of a process that has imported torch, and nothing else of use.
RUNNER = """
import os, sys
import torch
for program in sys.argv[1:]:
    if (child := os.fork()) == 0:
        exec(program, {})
        sys.stdout.flush()
        os._exit(0)
    print("ended with", os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def printed() -> dict[str, list[str]]:
    """The lines that each program prints in a Python that has imported torch alone."""
    programs = (NETWORKS, LIBRARY, OPTIMIZER)
    command = [sys.executable, "-c", RUNNER, *programs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outputs = done.stdout.split("ended with 0\n")
    assert len(outputs) == len(programs) + 1, done.stdout + done.stderr
    return {program: text.splitlines() for program, text in zip(programs, outputs, strict=False)}


@pytest.mark.slow
def test_networks_are_imported_without_the_compiler_which_works_when_it_is_used_later(
    printed: dict[str, list[str]],
) -> None:
    marked_result = "(False, tensor([1.]))"
    assert printed[NETWORKS] == ["[]", "1.0", "1.0 True", f"{marked_result} {marked_result}"]


@pytest.mark.slow
def test_a_library_that_uses_the_compiler_at_once_gets_the_real_one(
    printed: dict[str, list[str]],
) -> None:
    assert printed[LIBRARY] == ["defaultdict torch._dynamo.eval_frame True"]


def test_an_imported_compiler_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    present = sys.modules.get(COMPILER, sys)
    monkeypatch.setitem(sys.modules, COMPILER, present)
    with compiler_deferred():
        assert sys.modules[COMPILER] is present
    assert sys.modules[COMPILER] is present


@pytest.mark.slow
def test_an_optimizer_steps_without_the_compiler_and_its_step_can_be_compiled_later(
    printed: dict[str, list[str]],
) -> None:
    assert printed[OPTIMIZER] == ["0.5 []", "False", "0.0 True"]

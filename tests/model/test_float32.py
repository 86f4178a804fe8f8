from __future__ import annotations

import ast
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import backends, nn

from tests.float32_settings import STRICT, change, newer, older, restored
from thaw.model import float32
from thaw.model.float32 import is_strict, strict_float32

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """The settings as torch comes with them."""
    with restored():
        yield


SETTINGS = ["default", "high", "medium", "older", "all", "cudnn", "conv", "mkldnn"]


@pytest.mark.parametrize("setting", SETTINGS)
def test_nothing_rounds_inside_and_all_is_as_before_after_an_exception(setting: str) -> None:
    change(setting)
    before = older(), newer()
    with suppress(KeyError), strict_float32():
        assert older() == [False, False, "highest"]
        assert set(newer()) <= STRICT
        raise KeyError
    assert (older(), newer()) == before


def test_the_inner_one_of_two_restores_nothing() -> None:
    with strict_float32():
        with strict_float32():
            assert is_strict()
        assert is_strict()
        assert older() == [False, False, "highest"]
    assert not is_strict()
    assert older() == [True, False, "highest"]


def test_of_two_threads_the_last_one_restores() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with strict_float32():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with strict_float32():
        thread.start()
        assert inside.wait(10)
    assert not is_strict()  # this thread
    assert backends.cudnn.allow_tf32 is False  # the other one still computes
    leave.set()
    thread.join()
    assert backends.cudnn.allow_tf32 is True


def test_autocast_is_off_inside_and_back_after_an_exception() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        with suppress(KeyError), strict_float32():
            assert not torch.is_autocast_enabled("cpu")
            assert not torch.is_autocast_enabled("cuda")
            raise KeyError
        assert torch.is_autocast_enabled("cpu")


def test_as_a_decorator_it_covers_every_call() -> None:
    @strict_float32()
    def seen() -> bool:
        return bool(backends.cudnn.allow_tf32) or not is_strict()

    assert [seen(), seen()] == [False, False]
    assert not is_strict()


def test_on_a_cpu_it_changes_no_bit() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Flatten(), nn.Linear(16 * 14 * 14, 10))
    inputs = torch.randn(32, 3, 16, 16)
    plain = network(inputs)
    with strict_float32():
        assert torch.equal(network(inputs), plain)


def test_two_modules_change_the_precision_and_no_other() -> None:
    package = Path(float32.__file__).parents[1]
    names = {"allow_tf32", "fp32_precision", "set_float32_matmul_precision"}
    found = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_autocast = isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.autocast"
            if is_autocast or (isinstance(node, ast.Attribute) and node.attr in names):
                found.add(path.relative_to(package).as_posix())
    assert found == {"model/float32.py", "training/precision.py"}

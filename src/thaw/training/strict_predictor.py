"""A model that a program loads, computing in strict float32 on any device."""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING

import torch

from thaw.model.float32 import strict_float32
from thaw.model.predictor import Predictor
from thaw.system.devices import CPU, choose_device

if TYPE_CHECKING:
    from pathlib import Path


def strict_predictor(folder: Path, device: str, setting: str = "device") -> Predictor:
    """Return the model in ``folder``, which computes on ``device``: auto, cpu, cuda or cuda:N.

    On a GPU each forward pass runs inside ``strict_float32``. The precision that the program has
    set for its own networks is restored afterwards. ``setting`` names in errors what gave the
    device.

    Raises:
        ThawError: there is no such device, or ``folder`` is not a valid model directory.
    """
    _compute_in_one_thread_after_a_fork()
    chosen = choose_device(device, setting)
    context = nullcontext if chosen.type == CPU else strict_float32
    return Predictor(folder, device=chosen, autocast=context)


@cache
def _compute_in_one_thread_after_a_fork() -> None:
    """Let processes that are forked from this one compute in one thread.

    The threads of torch do not exist there, and it would wait for them without end. The workers of
    torch's DataLoader do the same.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))

"""Networks that torch compiles, with the same code in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import nn


def compiled(network: nn.Module) -> Any:
    """Return ``network`` compiled for inputs of one shape, on the first call.

    By default the compiler times variants of a kernel and takes the fastest, so that two runs could
    add up in another order. Where torch allows it, this is turned off.
    """
    from torch._inductor import config  # takes a second to import

    # Compiled code has its own setting, which :func:`prefer_deterministic` leaves to this place.
    torch.use_deterministic_algorithms(mode=True, warn_only=True)

    # Dropout draws what it draws without the compiler.
    options: dict[str, Any] = {"fallback_random": True}
    if hasattr(config, "deterministic"):
        options["deterministic"] = True
    return torch.compile(network, dynamic=False, options=options)

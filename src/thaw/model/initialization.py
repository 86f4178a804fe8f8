"""Initial weights for training from scratch, and contexts that seed or skip random draws."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from thaw.literals import Init

_DRAWS = {
    Tensor.erfinv_, nn.init.normal_, nn.init.uniform_,
    nn.init.kaiming_normal_, nn.init.kaiming_uniform_,
    nn.init.xavier_normal_, nn.init.xavier_uniform_,
}  # fmt: skip
# The name and default of the argument that these functions draw around or from.
_FIRST = {Tensor.normal_: ("mean", 0.0), Tensor.uniform_: ("from", 0.0)}


class SkipInitialization(TorchFunctionMode):
    """A context in which modules skip their random initialisation.

    It is for networks whose weights are loaded afterwards: VGG-16 is created in 3 ms instead of 2
    seconds. Weights hold arbitrary values until then.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call ``func`` unless it only draws random numbers."""
        given = kwargs or {}
        if func in _DRAWS:
            return args[0] if args else given["tensor"]
        if func in _FIRST:
            # trunc_normal_ calls these until all values are within bounds: set valid values.
            return args[0].fill_(args[1] if len(args) > 1 else given.get(*_FIRST[func]))
        return func(*args, **given)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from ``seed`` on the CPU while the context is open; later draws are as without it.

    Generators of GPUs are not touched: torch would start every GPU of the machine for that.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def scratch(network: nn.Module, init: Init, seed: int) -> None:
    """Draw new weights for convolutions and linear layers, in place; norms become the identity.

    Other parameters (tokens, position embeddings, layer scales) keep the values of their library.

    ``he``: normal, variance 2 / fan-out for convolutions, which keeps the gradient's scale
    through ReLU, and 2 / fan-in for linear layers (He et al. 2015, equations 14 and 10).
    ``glorot``: uniform, variance 2 / (fan-in + fan-out) (Glorot & Bengio 2010, equation 16).
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, (_ConvNd, nn.Linear)):
            _draw(module, init, generator)
        elif isinstance(module, (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)):
            if isinstance(module, _NormBase):
                module.reset_running_stats()
            for name, parameter in module.named_parameters(recurse=False):
                nn.init.constant_(parameter, 1.0 if name == "weight" else 0.0)


@torch.no_grad()
def _draw(module: _ConvNd | nn.Linear, init: Init, generator: torch.Generator) -> None:
    fan_in = module.weight[0].numel()
    fan_out = module.weight.numel() // module.weight.shape[1]
    if isinstance(module, _ConvNd):
        fan_out //= module.groups  # the inputs of a group are read only by its own outputs
    if init == "glorot":
        bound = math.sqrt(6 / (fan_in + fan_out))
        module.weight.uniform_(-bound, bound, generator=generator)
    else:
        fan = fan_out if isinstance(module, _ConvNd) else fan_in
        module.weight.normal_(0, math.sqrt(2 / fan), generator=generator)
    if module.bias is not None:
        module.bias.zero_()


@torch.no_grad()
def gabor(network: nn.Module) -> None:
    """Set the first convolution to Gabor filters, in place.

    Each filter has the norm of the one that it replaces. All input channels get the same filter.

    Raises:
        ValueError: there is no convolution, or its kernel is smaller than 3 x 3.
    """
    weight = next((part.weight for part in network.modules() if isinstance(part, nn.Conv2d)), None)
    if weight is None:
        raise ValueError("it has no convolution that could start as Gabor filters")
    count, channels, height, width = weight.shape
    if min(height, width) < 3:
        raise ValueError(f"a kernel of {height} x {width} is too small for a Gabor filter")
    bank = gabor_bank(count, height, width).to(weight)[:, None].expand(-1, channels, -1, -1)
    norms = weight.flatten(1).norm(dim=1) / bank.flatten(1).norm(dim=1)
    weight.copy_(bank * norms.view(-1, 1, 1, 1))


def gabor_bank(count: int, height: int, width: int) -> Tensor:
    """Return ``count`` Gabor filters of zero mean, (count, height, width).

    ``g = exp(-(x'^2 + gamma^2 y'^2) / (2 sigma^2)) cos(2 pi x' / lambda + psi)``, where x' and y'
    are rotated by theta. The filters are even and odd (psi = 0, pi / 2), with wavelengths of one
    and of half the kernel (at least 2.5 pixels), and for each of these with angles spread over the
    half circle. gamma is 0.5, sigma is 0.56 lambda, a bandwidth of one octave.

    Source: Daugman 1985; Petkov 1995.
    """
    index = torch.arange(count)
    kinds = 4 if count >= 16 else 2  # few filters share one wavelength
    phase = (index % 2) * (math.pi / 2)
    longest = float(min(height, width))
    wavelength = torch.where(index % kinds < 2, longest, max(longest / 2, 2.5))
    angle = math.pi * (index // kinds) / math.ceil(count / kinds)
    y = torch.arange(height) - (height - 1) / 2
    x = torch.arange(width) - (width - 1) / 2
    cosine, sine = (value.view(-1, 1, 1) for value in (angle.cos(), angle.sin()))
    along = x[None, None, :] * cosine + y[None, :, None] * sine
    across = y[None, :, None] * cosine - x[None, None, :] * sine
    wave = wavelength.view(-1, 1, 1)
    envelope = torch.exp(-(along**2 + 0.25 * across**2) / (2 * (0.56 * wave) ** 2))
    bank = envelope * torch.cos(2 * math.pi * along / wave + phase.view(-1, 1, 1))
    return bank - bank.mean(dim=(1, 2), keepdim=True)

"""LeNet-5, a small network to train from scratch (LeCun et al. 1998, figure 2)."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from thaw.model.block_chain import Chain, InputSettings, LinearStep

INPUT_SETTINGS = InputSettings(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), image_size=32)


class Luminance(nn.Module):
    """The luminance of RGB images (ITU-R BT.601); a step without parameters."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the luminance (N, 1, S, S) of images (N, 3, S, S)."""
        shares = images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        return (images * shares).sum(dim=1, keepdim=True)


class LeNet5(nn.Sequential):
    """Images (N, 3, S, S) -> logits (N, 10); S is 32 in the paper, and 16 or more here.

    It has 61,706 parameters. Differences from the paper, as in most implementations: C3 reads all
    maps of S2, subsampling has no coefficients, and the output is a linear layer. If S is not 32,
    the input of C5 is averaged to 5 x 5.
    """

    def __init__(self) -> None:
        super().__init__(
            OrderedDict(
                grey=Luminance(),
                c1=nn.Conv2d(1, 6, 5),
                tanh1=nn.Tanh(),
                s2=nn.AvgPool2d(2),
                c3=nn.Conv2d(6, 16, 5),
                tanh3=nn.Tanh(),
                s4=nn.AvgPool2d(2),
                size=nn.AdaptiveAvgPool2d(5),
                c5=nn.Conv2d(16, 120, 5),
                tanh5=nn.Tanh(),
                flatten=nn.Flatten(1),
                f6=nn.Linear(120, 84),
                tanh6=nn.Tanh(),
                output=nn.Linear(84, 10),
            )
        )


def chain(network: LeNet5) -> Chain:
    """Return the chain whose blocks are C1 with S2, C3 with S4, C5, and F6."""
    *below, _, f6, tanh6, last = network
    assert isinstance(f6, nn.Linear)
    assert isinstance(last, nn.Linear)
    return Chain([*below, LinearStep(f6), tanh6], nn.Flatten(1), last)

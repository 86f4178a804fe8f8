"""How far the images that a model sees are from those that it was trained on.

Where a BatchNorm was folded, the model keeps the mean and the standard deviation of every channel
on its training images, and those that the BatchNorm expected. After the merge the place is the
output of the convolution, which carries the affine map: ``mean * weight + bias``,
``std * |weight|``.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from thaw.model.batch_statistics import Moments, observed, shift
from thaw.model.batchnorm import ChannelAffine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from thaw.model.batch_statistics import Channels

FEWEST = 32  # images under which a score would be noise
_STRIDE = 2  # a quarter of the positions says as much, and takes a quarter of the time
_AT_ONCE = 256  # images that are looked at in any case; after them
_SHARE = 1 / 16  # of the images, for looking takes as long as a seventh of the forward pass
_FEW = 8  # of a larger batch: looking at one image takes nearly as long
_SPREAD = 512  # images that are enough, where it is known how many will come
_DEAD = 1e-3  # of a layer's median: below it, a channel's spread is no unit to measure by


@dataclass(frozen=True)
class Places:
    """Where the folded BatchNorms were: the merged convolutions, and the affine maps that stayed.

    The values are those that leave the former and enter the latter.
    """

    convolutions: Sequence[str]
    affine: Sequence[str]

    @classmethod
    def of(cls, folded: Sequence[str], merged: Sequence[tuple[str, str]]) -> Places:
        """The places of a model, as its spec tells them."""
        gone = {affine for _, affine in merged}
        return cls([conv for conv, _ in merged], [name for name in folded if name not in gone])

    @contextmanager
    def watched(
        self, classifier: nn.Module, first: int | None = None
    ) -> Iterator[dict[str, Moments]]:
        """The moments of what passes while the context is open; of each batch ``first`` images."""
        with observed(
            classifier, self.affine, self.convolutions, first=first, stride=_STRIDE
        ) as moments:
            yield moments


@dataclass(frozen=True)
class Reference:
    """Mean and standard deviation (C,) by place.

    ``seen``: on the training images, in the form that is deployed. ``expected``: what the
    BatchNorm that was folded there had learnt to expect; not known for every place.
    """

    seen: Channels
    expected: Channels = field(default_factory=dict)

    @property
    def shift_of_training(self) -> float:
        """How far the training images are from what the BatchNorms expected."""
        places = {name: values for name, values in self.seen.items() if name in self.expected}
        return _distance(self.expected, places)

    def score(self, moments: Mapping[str, Moments]) -> float:
        """0: as on the training images; 1: a standard deviation off, in the median channel."""
        return shift(_measurable(self.seen), moments)

    def tensors(self) -> dict[str, Tensor]:
        """As safetensors keeps them: ``seen.mean.NAME`` and so on, float64 (C,)."""
        return {
            f"{kind}.{part}.{name}": torch.from_numpy(values[place]).contiguous()
            for kind, channels in (("seen", self.seen), ("expected", self.expected))
            for name, values in channels.items()
            for place, part in enumerate(("mean", "std"))
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Reference:
        """What :meth:`tensors` gave.

        Raises:
            ValueError: it did not.
        """
        found: dict[str, Channels] = {"seen": {}, "expected": {}}
        try:
            for key in tensors:
                kind, part, name = key.split(".", 2)
                if part == "mean":
                    pair = (tensors[key], tensors[f"{kind}.std.{name}"])
                    found[kind][name] = (pair[0].double().numpy(), pair[1].double().numpy())
        except (KeyError, ValueError) as error:
            raise ValueError(f"no statistics of thaw's: {error}") from None
        return cls(found["seen"], found["expected"])


def carried(
    expected: Channels, classifier: nn.Module, merged: Sequence[tuple[str, str]]
) -> Channels:
    """What BatchNorms called as in ``expected`` expected, at the places after the merge.

    ``classifier`` is the affine form: it still has the maps that ``merged`` names.
    """
    convolutions = {affine: conv for conv, affine in merged}
    result: Channels = {}
    for name, (mean, std) in expected.items():
        if name not in convolutions:
            result[name] = (mean, std)
            continue
        affine = classifier.get_submodule(name)
        assert isinstance(affine, ChannelAffine)
        weight, bias = (part.detach().double().cpu().numpy() for part in affine.parameters())
        result[convolutions[name]] = (mean * weight + bias, std * np.abs(weight))
    return result


class Drift:
    """The score over the last ``window`` images, or up to twice as many; without it, over all.

    The first 256 images are looked at, then one of 16, unless :meth:`spread` says otherwise.
    Several threads may look at a time, each at a network of its own.
    """

    def __init__(self, reference: Reference, places: Places, window: int | None = None) -> None:
        self._window = window
        self._reference = reference
        self._places = places
        self._older: dict[str, Moments] = {}
        self._newer: dict[str, Moments] = {}
        self._counts = (0, 0)
        self._passed = self._promised = 0
        self._lock = threading.Lock()
        self._at_once, self._share = _AT_ONCE, _SHARE

    def spread(self, images: int) -> None:
        """Look at 512 images, evenly over the ``images`` that will come: they may be sorted."""
        self._at_once, self._share = 0, min(1.0, _SPREAD / max(1, images))

    def due(self, images: int) -> int:
        """How many of the next ``images`` to look at: they count as promised."""
        with self._lock:
            self._passed += images
            wanted = self._at_once + math.ceil(self._passed * self._share) - self._promised
            due = min(images, wanted)
            if due < min(images, _FEW):
                return 0
            self._promised += due
            return due

    @contextmanager
    def watch(self, classifier: nn.Module, due: int) -> Iterator[None]:
        """Look at the first ``due`` images that pass ``classifier`` while the context is open.

        No other thread may use ``classifier`` meanwhile: what it computes would be looked at, too.
        """
        with self._places.watched(classifier, first=due) as moments:
            yield
        with self._lock:
            self._newer = _together(self._newer, moments)
            self._counts = (self._counts[0], self._counts[1] + due)
            if self._window and self._counts[1] >= self._window:
                self._older, self._newer = self._newer, {}
                self._counts = (self._counts[1], 0)

    @property
    def images(self) -> int:
        """How many images the score is over."""
        return sum(self._counts)

    @property
    def score(self) -> float | None:
        """None while there are too few images to tell."""
        with self._lock:
            if self.images < FEWEST:
                return None
            moments = _together(self._older, self._newer)
        return self._reference.score(moments)


def _together(one: Mapping[str, Moments], other: Mapping[str, Moments]) -> dict[str, Moments]:
    total = dict(one)
    for name, moments in other.items():
        total[name] = total[name] + moments if name in total else moments
    return total


def _measurable(channels: Channels) -> Channels:
    return {
        name: (mean, np.maximum(std, _DEAD * max(float(np.median(std)), 1e-12)))
        for name, (mean, std) in channels.items()
    }


def _distance(before: Channels, after: Channels) -> float:
    moments = {
        name: Moments(1, torch.from_numpy(mean), torch.from_numpy(std**2 + mean**2))
        for name, (mean, std) in after.items()
    }
    return shift(_measurable(before), moments)

"""Drift: the distance between the images that a model sees and its training images.

For every folded BatchNorm, the model directory holds the mean and standard deviation of each
channel on the training images, and those that the BatchNorm expected. After the merge they are
measured at the output of the convolution, which contains the affine map:
``mean * weight + bias``, ``std * |weight|``.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from thaw.model.batchnorm import ChannelAffine
from thaw.model.channel_statistics import Moments, observed, shift

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from thaw.model.channel_statistics import Channels

FEWEST = 32  # images; with fewer, a score would be noise
_STRIDE = 2  # a quarter of the positions is enough and takes a quarter of the time
_AT_ONCE = 256  # the first images are all measured; of later ones
_SHARE = 1 / 16  # is measured, because that takes a seventh of the forward pass
_FEW = 8  # images of a batch: fewer take nearly as long to measure
_SPREAD = 512  # images to measure if the total number is known
_DEAD = 1e-3  # of a layer's median spread: smaller spreads are no unit of measurement


@dataclass(frozen=True)
class FoldedPlaces:
    """The places of the folded BatchNorms: merged convolutions, and affine maps that remain.

    The outputs of the convolutions and the inputs of the affine maps are measured.
    """

    convolutions: Sequence[str]
    affine: Sequence[str]

    @classmethod
    def of(cls, folded: Sequence[str], merged: Sequence[tuple[str, str]]) -> FoldedPlaces:
        """Return the places of a model from the lists in its spec."""
        gone = {affine for _, affine in merged}
        return cls([conv for conv, _ in merged], [name for name in folded if name not in gone])

    @contextmanager
    def watched(
        self, classifier: nn.Module, first: int | None = None
    ) -> Iterator[dict[str, Moments]]:
        """Record the moments at the places while the context is open, of ``first`` images each."""
        with observed(
            classifier, self.affine, self.convolutions, first=first, stride=_STRIDE
        ) as moments:
            yield moments


@dataclass(frozen=True)
class Reference:
    """The mean and standard deviation (C,) of each place.

    ``seen`` are those of the training images in the deployment form. ``expected`` are the running
    statistics of the folded BatchNorm; they are not known for every place.
    """

    seen: Channels
    expected: Channels = field(default_factory=dict)

    @property
    def shift_of_training(self) -> float:
        """The distance of the training images from the statistics that the BatchNorms expected."""
        places = {name: values for name, values in self.seen.items() if name in self.expected}
        return _distance(self.expected, places)

    def score(self, moments: Mapping[str, Moments]) -> float:
        """Return the drift: 0 as on the training images, 1 a standard deviation (median)."""
        return shift(_measurable(self.seen), moments)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors to save, float64 (C,), by names such as ``seen.mean.PLACE``."""
        return {
            f"{kind}.{part}.{name}": torch.from_numpy(values[place]).contiguous()
            for kind, channels in (("seen", self.seen), ("expected", self.expected))
            for name, values in channels.items()
            for place, part in enumerate(("mean", "std"))
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Reference:
        """Return the reference from the tensors of :meth:`tensors`.

        Raises:
            ValueError: the names or types are not those of a reference.
        """
        if others := [name for name in tensors if not tensors[name].is_floating_point()]:
            raise ValueError(f"{others[0][:80]} has no floating-point values")
        found: dict[str, Channels] = {"seen": {}, "expected": {}}
        try:
            for key in tensors:
                kind, part, name = key.split(".", 2)
                if part == "mean":
                    pair = (tensors[key], tensors[f"{kind}.std.{name}"])
                    found[kind][name] = (pair[0].double().numpy(), pair[1].double().numpy())
        except (KeyError, ValueError) as error:
            raise ValueError(f"it does not hold statistics written by thaw: {error}") from None
        return cls(found["seen"], found["expected"])


def statistics_after_merge(
    expected: Channels, classifier: nn.Module, merged: Sequence[tuple[str, str]]
) -> Channels:
    """Return the statistics ``expected``, by BatchNorm, at the places after the merge.

    ``classifier`` is the affine form, before the pairs ``merged`` are merged.
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
    """The drift score over the last ``window`` images, up to twice as many; None is all images.

    The first 256 images are measured, then one of 16, unless :meth:`spread` is called. Several
    threads may measure at a time, each on a network of its own.
    """

    def __init__(
        self, reference: Reference, places: FoldedPlaces, window: int | None = None
    ) -> None:
        self._window = window
        self._reference = reference
        self._places = places
        self._older: dict[str, Moments] = {}
        self._newer: dict[str, Moments] = {}
        self._counts = (0, 0)
        self._passed = self._promised = 0
        self._lock = threading.Lock()
        self._at_once, self._share = _AT_ONCE, _SHARE

    def __getstate__(self) -> dict[str, Any]:
        """Return the content for a copy, which measures on from here; a lock cannot be copied."""
        with self._lock:
            return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, content: dict[str, Any]) -> None:
        """Take over the content, with a lock of its own."""
        vars(self).update(content)
        self._lock = threading.Lock()

    def spread(self, images: int) -> None:
        """Measure 512 of the ``images`` to come, at equal distances, because they may be sorted."""
        self._at_once, self._share = 0, min(1.0, _SPREAD / max(1, images))

    def due(self, images: int) -> int:
        """Return how many of the next ``images`` to measure; they count as measured from now on."""
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
        """Measure the first ``due`` images of ``classifier`` while the context is open.

        No other thread may use ``classifier`` meanwhile: its images would be measured, too.
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
        """The number of images that the score is based on."""
        return sum(self._counts)

    @property
    def score(self) -> float | None:
        """The score, or None while there are too few images."""
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

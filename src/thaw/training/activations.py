"""Nothing frozen is computed twice: activations at the cut, computed once and kept in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from thaw.data.loader import ActivationSource
from thaw.model.blocks import Lower
from thaw.training.runtime import forward_all

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.data.loader import ImageSource, Source
    from thaw.model.blocks import Classifier
    from thaw.training.runtime import Runtime


@dataclass(frozen=True)
class AtCut:
    """Training and validation inputs, and the cut in the block list that they enter at."""

    pair: tuple[Source, Source]
    cut: int


def sources(
    runtime: Runtime,
    classifier: Classifier,
    train: ImageSource,
    val: ImageSource,
    cut: int,
    folder: Path,
) -> AtCut:
    """The inputs of a phase whose blocks below ``cut`` are frozen.

    Activations cached in ``folder`` where every epoch would compute the same ones; the images
    themselves where nothing is frozen or augmentation changes them in every epoch.
    """
    if cut == 0 or train.is_random:
        return AtCut((train, val), 0)
    made = [
        cached(runtime, classifier, source, cut, folder / f"{name}-at-{cut}.npy")
        for name, source in (("train", train), ("val", val))
    ]
    return AtCut((made[0], made[1]), cut)


def cached(
    runtime: Runtime, classifier: Classifier, source: ImageSource, cut: int, path: Path
) -> ActivationSource:
    """The activations of ``source`` at ``cut``, as a memory map of ``path`` (an .npy file).

    Computed unless ``path`` is there, as it is after a run that was killed. Every process
    computes and writes its own part. Float32, (N, C, H, W), or (N, F) after the last block.
    """
    if not path.exists():
        # One forward pass more tells the shape before the file is made.
        part = path.with_suffix(".part")
        shape = _shape(runtime, classifier, source, cut)
        if runtime.is_main:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape).flush()
        runtime.wait()
        kept = np.lib.format.open_memmap(part, mode="r+")
        title = f"activations at block {cut}"
        for places, outputs in forward_all(runtime, Lower(classifier, cut), source, title):
            kept[places] = outputs.numpy()
        kept.flush()
        runtime.wait()
        if runtime.is_main:
            part.replace(path)
        runtime.wait()
    return ActivationSource(np.load(path, mmap_mode="r"), source.targets)


def _shape(
    runtime: Runtime, classifier: Classifier, source: ImageSource, cut: int
) -> tuple[int, ...]:
    device = runtime.device
    places = np.array([0])
    image = source.finish(source.read(places).to(device), places, epoch=None)
    with torch.inference_mode():
        outputs = classifier.to(device).eval().activations(image, cut)
    return (len(source), *outputs.shape[1:])

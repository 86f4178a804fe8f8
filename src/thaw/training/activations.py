"""Nothing frozen is computed twice: activations at the cut, computed once and kept in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
        part = path.with_suffix(".part")
        kept = None
        title = f"activations at block {cut}"
        for places, outputs in forward_all(runtime, Lower(classifier, cut), source, title):
            if kept is None:
                shape = (len(source), *outputs.shape[1:])
                kept = _shared_file(runtime, part, shape)
            kept[places] = outputs.numpy()
        assert kept is not None  # every process has a part, if only to fill up
        kept.flush()
        runtime.wait()
        if runtime.is_main:
            part.replace(path)
        runtime.wait()
    return ActivationSource(np.load(path, mmap_mode="r"), source.targets)


def _shared_file(
    runtime: Runtime, path: Path, shape: tuple[int, ...]
) -> np.memmap[tuple[int, ...], np.dtype[np.float32]]:
    """A float32 .npy file of ``shape`` that every process can write its part of."""
    if runtime.is_main:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape).flush()
    runtime.wait()
    return np.lib.format.open_memmap(path, mode="r+")

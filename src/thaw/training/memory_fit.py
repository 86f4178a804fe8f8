"""The number of pieces in which a step fits into memory."""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING

import torch

from thaw.training.out_of_memory import MemoryShortageError, is_out_of_memory, shortage_named
from thaw.training.usable_batch_sizes import SMALL_BATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thaw.training.rehearsal import Rehearsal

_FREE = "end other programs on the device, then run the same command"
_COMMAND = "run the same command again"


def fewest_parts(rehearsal: Rehearsal) -> int:
    """Return the fewest parts of a full batch that fit into the memory of every process.

    The images of a process are divided into pieces of the same size, at least of one image. All
    processes come to the same number.

    Raises:
        MemoryShortageError: no number fits.
    """
    runtime = rehearsal.runtime
    for parts in _candidates(rehearsal):
        failed = torch.tensor(float(not rehearsal.fits(parts)))
        if float(runtime.sum(failed)) == 0.0:
            return _of_full_batch(rehearsal, parts)
    raise MemoryShortageError(_nothing_fits(rehearsal))


def most_parts(rehearsal: Rehearsal) -> int:
    """Return the parts of a full batch whose pieces are the smallest that are tried."""
    return _of_full_batch(rehearsal, _candidates(rehearsal)[-1])


@contextlib.contextmanager
def shortage_explained(
    rehearse: Callable[[], Rehearsal], where: Callable[[], str]
) -> Iterator[None]:
    """Replace an out-of-memory error in the block by one that says how many images fit.

    ``where`` names the place in the training at which it was raised.

    Raises:
        MemoryShortageError: the memory was exhausted.
        Exception: any other error of the block.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # their variables hold the activations
        place = where()
        with shortage_named(f"out of memory {place}: not even a batch of images fits; {_FREE}"):
            message = _what_fits(rehearse(), place)
        raise MemoryShortageError(message) from None


def _what_fits(rehearsal: Rehearsal, where: str) -> str:
    """Return the message for a step that did not fit, with the pieces that do.

    Only this process measures: the others wait for the step that it cannot take.
    """
    parts = rehearsal.learner.parts
    rehearsal.learner.network.release()
    images = len(rehearsal.batch.inputs)
    message = (
        f"out of memory {where}: {-(-images // parts)} images do not fit into the memory of "
        f"{rehearsal.runtime.device} at once"
    )
    if rehearsal.runtime.shards:  # a pass needs the parts of all processes
        return f"{message}: set launch.accumulate above {parts}, or launch.processes; {_COMMAND}"
    for more in _candidates(rehearsal):
        if more > parts and rehearsal.fits(more, moments=0):
            size = images // more
            return (
                f"{message}, {size} do: set launch.accumulate to "
                f"{_of_full_batch(rehearsal, more)} (or auto), which keeps the "
                f"images per step, or batch_size to {size * rehearsal.runtime.world}. If another "
                f"program used the memory, {_COMMAND}."
            )
    return f"{message}. {_nothing_fits(rehearsal)}"


def _candidates(rehearsal: Rehearsal) -> list[int]:
    """Return the divisors of the number of images that leave pieces large enough for BatchNorm."""
    images = len(rehearsal.batch.inputs)
    return [
        parts
        for parts in range(1, images + 1)
        if images % parts == 0 and (parts == 1 or images // parts >= _smallest(rehearsal))
    ]


def _of_full_batch(rehearsal: Rehearsal, parts: int) -> int:
    """Return in how many parts a full batch has pieces as small as ``parts`` of the tried one.

    The tried batch has fewer images if the training split has.
    """
    size = len(rehearsal.batch.inputs) // parts
    return -(-rehearsal.learner.network.full_size // size)


def _smallest(rehearsal: Rehearsal) -> int:
    """Return the fewest images of a piece: policy ``train`` normalises each piece by itself."""
    return SMALL_BATCH if _has_batch_statistics(rehearsal) else 1


def _has_batch_statistics(rehearsal: Rehearsal) -> bool:
    plan = rehearsal.classifier.plan
    return plan is not None and plan.batch_norm == "train" and bool(plan.trainable)


def _nothing_fits(rehearsal: Rehearsal) -> str:
    smallest = min(len(rehearsal.batch.inputs), _smallest(rehearsal))
    images = "1 image fits" if smallest == 1 else f"{smallest} images fit"
    text = f"Not even {images} into the memory of {rehearsal.runtime.device}"
    if _has_batch_statistics(rehearsal):
        text += (
            "; fewer are not tried, because batch_norm train normalises by them: set "
            "unfreeze.batch_norm to frozen, fixed or affine"
        )
    return f"{text}; a smaller depth, image_size or backbone needs less"

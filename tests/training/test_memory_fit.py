from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import torch

from tests.training import phase
from tests.training.greedy import greedy
from tests.training.test_rehearsal import rehearsal as rehearsal_of_eight
from thaw.training.memory_fit import fewest_parts, shortage_explained
from thaw.training.out_of_memory import MemoryShortageError

if TYPE_CHECKING:
    from thaw.model.classifier import Classifier
    from thaw.training.rehearsal import Rehearsal


def rehearsal(model: Classifier, images: int = 6) -> Rehearsal:
    """Return a rehearsal on a full batch of ``images``."""
    made = rehearsal_of_eight(model, images)
    made.learner.network.full_size = images
    return made


@pytest.mark.parametrize(
    ("images", "most", "parts"), [(16, 16, 1), (16, 15, 2), (16, 3, 8), (12, 5, 3), (7, 6, 7)]
)
def test_the_largest_piece_that_fits_divides_the_batch(images: int, most: int, parts: int) -> None:
    model = phase.model(3, "frozen")
    greedy(model.head, most)
    assert fewest_parts(rehearsal(model, images)) == parts


def test_a_device_without_memory_for_one_image_is_an_error() -> None:
    model = phase.model(3, "frozen")
    greedy(model.head, 0)
    with pytest.raises(MemoryShortageError, match=r"Not even 1 image fits.*smaller depth, image"):
        fewest_parts(rehearsal(model, 4))


def test_batches_that_normalise_themselves_are_not_cut_below_eight_images() -> None:
    model = phase.model(3, "train")
    greedy(model.head, 8)
    assert fewest_parts(rehearsal(model, 32)) == 4
    greedy(model.head, 7)
    with pytest.raises(MemoryShortageError, match=r"Not even 8 images.*batch_norm to frozen"):
        fewest_parts(rehearsal(model, 32))


def test_a_shortage_names_the_pieces_that_fit() -> None:
    model = phase.model(3, "frozen")
    greedy(model.head, 5)
    made = rehearsal(model, 16)
    expected = (
        r"out of memory in epoch 1, step 2: 16 images do not fit into the memory of cpu at once, "
        r"4 do: set launch.accumulate to 4 \(or auto\), which keeps the images per step, or "
        r"batch_size to 4"
    )
    with (
        pytest.raises(MemoryShortageError, match=expected),
        shortage_explained(lambda: made, lambda: "in epoch 1, step 2"),
    ):
        made.learner.learn(made.batch, 1, 1, 1)


def test_other_errors_pass() -> None:
    made = rehearsal(phase.model(3, "frozen"))
    with pytest.raises(ZeroDivisionError), shortage_explained(lambda: made, str):
        raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="sizes"), shortage_explained(lambda: made, str):
        raise RuntimeError("sizes")
    assert torch.is_grad_enabled()


def test_a_device_without_memory_for_a_batch_is_an_error_in_one_line() -> None:
    def rehearse() -> Rehearsal:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    expected = "out of memory in epoch 2, step 3: not even a batch.*end other programs"
    where = partial(str, "in epoch 2, step 3")
    with pytest.raises(MemoryShortageError, match=expected), shortage_explained(rehearse, where):
        raise torch.OutOfMemoryError("CUDA out of memory.")

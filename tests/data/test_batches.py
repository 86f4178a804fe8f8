from __future__ import annotations

import time
import warnings
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests import settings
from tests.data.delayed_side import DelayedSide
from tests.data.no_waiting import no_waiting
from tests.data.preprocessing import SMALL as PREPROCESSING
from thaw.data.batches import Batch, batches, prefetched_batches, resident_batches
from thaw.data.device_stream import sent
from thaw.data.loading import ActivationSource, BatchPart, ImageSource, Source, batch_parts
from thaw.data.random_draws import shuffled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thaw.config.data_sections import FixedAugment
    from thaw.data.prepared import Prepared

CPU = torch.device("cpu")
NONE = settings.augment(flip=0.0, rotate=0.0, shift=0.0, zoom=0.0, brightness=0.0, contrast=0.0)
MIXED = settings.augment(flip=0.5, rotate=20.0, mixup=0.4, cutmix=1.0)
SOME = NONE.model_copy(update={"flip": 0.5, "rotate": 20.0, "brightness": 0.1})


def load(source: Source, parts: list[BatchPart], workers: int = 0, epoch: int = 0) -> list[Batch]:
    return list(batches(source, parts, CPU, workers=workers, epoch=epoch))


# Batches


def test_batches_hold_images_with_their_targets_and_weights(prepared: Prepared) -> None:
    source = prepared.images("train", PREPROCESSING)
    assert source.ids.tolist() == list(range(0, 20, 2))
    (first, second) = load(source, batch_parts(np.array([9, 0, 4]), 2, rank=1, world=2))
    assert (first.indices.tolist(), first.total) == ([0], 2)
    assert (second.indices.tolist(), second.weights.tolist(), second.total) == ([4], [0.0], 1)
    assert first.targets.tolist() == prepared.manifest.targets[[0]].tolist()
    assert second.targets.tolist() == prepared.manifest.targets[[8]].tolist()
    pixels = PREPROCESSING.resize([prepared.store.read(0)]).float() / 255
    assert torch.equal(first.inputs, PREPROCESSING.normalize(pixels))


def test_inputs_are_float32_in_channels_last(prepared: Prepared) -> None:
    source = prepared.images("train", PREPROCESSING, augmentation=SOME)
    (batch,) = load(source, batch_parts(np.arange(10), 10))
    assert batch.inputs.dtype == torch.float32
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("augmentation", [None, SOME, MIXED])
def test_loader_processes_give_the_same_batches(
    prepared: Prepared, augmentation: FixedAugment | None
) -> None:
    source = prepared.images("train", PREPROCESSING, 3, augmentation)
    parts = batch_parts(shuffled(len(source), seed=3, epoch=1), 4, rank=1, world=2)
    here = load(source, parts, workers=0, epoch=1)
    there = load(source, parts, workers=2, epoch=1)
    assert len(here) == len(there) == 3
    for one, two in zip(here, there, strict=True):
        assert torch.equal(one.inputs, two.inputs)
        assert torch.equal(one.targets, two.targets)
        assert torch.equal(one.weights, two.weights)
        assert one.indices.tolist() == two.indices.tolist()


@pytest.mark.parametrize("augmentation", [SOME, MIXED])
def test_an_image_is_the_same_in_any_batch_and_process(
    prepared: Prepared, augmentation: FixedAugment
) -> None:
    source = prepared.images("train", PREPROCESSING, 3, augmentation)
    (whole,) = load(source, batch_parts(np.arange(10), 10), epoch=2)
    for world, batch_size in ((1, 3), (2, 4), (3, 7)):
        for rank in range(world):
            parts = batch_parts(shuffled(10, seed=1, epoch=1), batch_size, rank, world)
            for batch in load(source, parts, epoch=2):
                assert torch.equal(batch.inputs, whole.inputs[batch.indices])
                assert torch.equal(batch.targets, whole.targets[batch.indices])


def test_augmentation_depends_on_the_image_id_and_not_on_its_index(prepared: Prepared) -> None:
    train = prepared.images("train", PREPROCESSING, 3, SOME)
    few = ImageSource(
        prepared.store, train.ids[[7, 2]], prepared.manifest.targets, PREPROCESSING, 3, SOME
    )
    (one,) = load(train, batch_parts(np.array([7, 2]), 2))
    (two,) = load(few, batch_parts(np.array([0, 1]), 2))
    assert torch.equal(one.inputs, two.inputs)


def test_nothing_is_random_without_an_epoch(prepared: Prepared) -> None:
    plain = prepared.images("train", PREPROCESSING)
    random = prepared.images("train", PREPROCESSING, 3, SOME)
    parts = batch_parts(np.arange(10), 10)
    (expected,) = batches(plain, parts, CPU, epoch=None)
    (evaluated,) = batches(random, parts, CPU, epoch=None)
    (trained,) = batches(random, parts, CPU, epoch=0)
    assert torch.equal(evaluated.inputs, expected.inputs)
    assert not torch.equal(trained.inputs, expected.inputs)


# Mixing


def test_the_targets_of_mixed_images_are_fractions_of_classes(prepared: Prepared) -> None:
    source = prepared.images("train", PREPROCESSING, 3, MIXED)
    (batch,) = load(source, batch_parts(np.arange(10), 10), epoch=1)
    assert batch.inputs.shape == (10, 3, 16, 16)
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
    assert batch.targets.shape == (10, 2)
    torch.testing.assert_close(batch.targets.sum(dim=1), torch.ones(10))
    assert ((batch.targets > 0.01) & (batch.targets < 0.99)).any()


def test_nothing_is_mixed_without_an_epoch(prepared: Prepared) -> None:
    parts = batch_parts(np.arange(10), 10)
    (plain,) = batches(prepared.images("train", PREPROCESSING), parts, CPU)
    (found,) = batches(prepared.images("train", PREPROCESSING, 3, MIXED), parts, CPU)
    assert torch.equal(found.inputs, plain.inputs)
    assert torch.equal(found.targets, plain.targets)


def test_a_partner_has_its_own_augmentation(prepared: Prepared) -> None:
    cut = MIXED.model_copy(update={"mixup": 0.0})
    alone = MIXED.model_copy(update={"mixup": 0.0, "cutmix": 0.0})
    (whole,) = load(
        prepared.images("train", PREPROCESSING, 3, alone), batch_parts(np.arange(10), 10), 0
    )
    source = prepared.images("train", PREPROCESSING, 3, cut)
    mixing = source.mixing(0)
    assert mixing is not None
    (found,) = load(source, batch_parts(np.arange(10), 10), epoch=0)
    own, other = whole.inputs, whole.inputs[mixing.append_partners(np.arange(10))[10:]]
    assert ((found.inputs == own) | (found.inputs == other)).all()
    assert not torch.equal(found.inputs, own)


def test_classes_are_counted_over_all_splits(prepared: Prepared) -> None:
    targets = np.arange(20) // 5  # the three images of this source are all in the first class
    source = ImageSource(prepared.store, np.arange(3), targets, PREPROCESSING, 3, MIXED)
    (batch,) = load(source, batch_parts(np.arange(3), 3))
    assert batch.targets.shape == (3, 4)


@pytest.mark.parametrize("shape", [(12, 4, 3, 3), (12, 5)])
@pytest.mark.parametrize("workers", [0, 2])
def test_activations_are_loaded_unchanged(shape: tuple[int, ...], workers: int) -> None:
    activations = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    source = ActivationSource(activations, np.arange(12))
    order = shuffled(12, seed=0, epoch=0)
    found = load(source, batch_parts(order, 5), workers=workers)
    assert np.array_equal(torch.cat([batch.inputs for batch in found]), activations[order])
    assert torch.cat([batch.targets for batch in found]).tolist() == order.tolist()
    if len(shape) == 4:
        assert found[0].inputs.is_contiguous(memory_format=torch.channels_last)


# Batches for a device

NOISY = SOME.model_copy(update={"noise": 0.1, "randaugment": 1})
MODES = pytest.mark.parametrize("workers", [0, 2])


def load_for_device(
    source: Source, parts: list[BatchPart], workers: int = 0, epoch: int | None = 0
) -> tuple[list[Batch], DelayedSide]:
    side = DelayedSide()
    return list(prefetched_batches(source, parts, side, workers=workers, epoch=epoch)), side


@pytest.mark.parametrize("epoch", [None, 1])
@pytest.mark.parametrize("augmentation", [None, SOME, MIXED, NOISY])
@MODES
def test_a_device_gets_the_batches_of_the_cpu_in_their_order(
    prepared: Prepared, augmentation: FixedAugment | None, epoch: int | None, workers: int
) -> None:
    source = prepared.images("train", PREPROCESSING, 3, augmentation)
    parts = batch_parts(shuffled(len(source), seed=3, epoch=1), 4, rank=1, world=2)
    expected = list(batches(source, parts, CPU, epoch=epoch))
    found, side = load_for_device(source, parts, workers, epoch)
    assert len(found) == len(expected) == 3
    assert side.running == 0
    for one, two in zip(found, expected, strict=True):
        # 2 of 255, divided by the smallest standard deviation: see docs/gpu.md
        torch.testing.assert_close(one.inputs, two.inputs, rtol=0, atol=2.5 / 255 / 0.1)
        assert torch.equal(one.targets, two.targets)
        assert torch.equal(one.weights, two.weights)
        assert one.indices.tolist() == two.indices.tolist()
        assert one.total == two.total
        assert one.inputs.is_contiguous(memory_format=torch.channels_last)


@MODES
def test_images_with_draws_of_the_cpu_reach_a_device_with_the_same_bits(
    prepared: Prepared, workers: int
) -> None:
    source = prepared.images("train", PREPROCESSING, 3, NOISY)
    parts = batch_parts(np.arange(10), 4)
    found, _ = load_for_device(source, parts, workers, 2)
    for one, two in zip(found, load(source, parts, epoch=2), strict=True):
        assert torch.equal(one.inputs, two.inputs)


def test_the_device_gets_the_packed_bytes_of_the_images_in_one_copy(prepared: Prepared) -> None:
    source = prepared.images("train", PREPROCESSING)
    _, side = load_for_device(source, batch_parts(np.arange(10), 10))
    shapes = prepared.store.shapes(source.ids)
    assert side.buffers == [int((shapes.prod(axis=1) * 3).sum())]


def test_batches_for_a_device_are_the_same_in_every_run(prepared: Prepared) -> None:
    source = prepared.images("train", PREPROCESSING, 3, SOME)
    parts = batch_parts(shuffled(10, seed=1, epoch=1), 3)
    for one, two in zip(
        load_for_device(source, parts)[0], load_for_device(source, parts)[0], strict=True
    ):
        assert torch.equal(one.inputs, two.inputs)


def test_no_more_than_three_batches_are_on_a_device(prepared: Prepared) -> None:
    source, side = prepared.images("train", PREPROCESSING), DelayedSide()
    parts = batch_parts(np.arange(10), 1)
    for _ in prefetched_batches(source, parts, side):
        time.sleep(0.02)  # the training step, during which the next batches are made
    assert 2 <= side.most_running <= 3  # two that wait, and the one that is handed over


@pytest.mark.parametrize("shape", [(12, 4, 3, 3), (12, 5)])
@MODES
def test_activations_reach_a_device_unchanged(shape: tuple[int, ...], workers: int) -> None:
    activations = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    source = ActivationSource(activations, np.arange(12))
    order = shuffled(12, seed=0, epoch=0)
    found, _ = load_for_device(source, batch_parts(order, 5), workers)
    assert np.array_equal(torch.cat([batch.inputs for batch in found]), activations[order])
    assert torch.cat([batch.targets for batch in found]).tolist() == order.tolist()


def test_activations_that_stay_on_a_device_are_those_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    activations = np.random.default_rng(0).normal(size=(12, 4, 3, 3)).astype(np.float32)
    source = ActivationSource(activations, np.arange(12) % 5)
    parts = batch_parts(shuffled(11, seed=0, epoch=0), 4, rank=1, world=2)
    monkeypatch.setattr("thaw.data.loading.free_bytes", lambda _: 4 * activations.nbytes)
    resident = source.resident(CPU)
    assert resident is not None
    assert source.resident(CPU) is resident
    for one, two in zip(
        resident_batches(source, parts, resident), load(source, parts), strict=True
    ):
        assert torch.equal(one.inputs, two.inputs)
        assert one.inputs.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(one.targets, two.targets)
        assert torch.equal(one.weights, two.weights)
        assert (one.indices.tolist(), one.total) == (two.indices.tolist(), two.total)


@pytest.mark.parametrize("copied_bytes", [1, 100, 2**26])
def test_activations_of_a_file_are_copied_to_a_device_without_a_warning(
    copied_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    activations = np.arange(60, dtype=np.float32).reshape(12, 5)
    np.save(tmp_path / "activations.npy", activations)
    monkeypatch.setattr("thaw.data.loading.free_bytes", lambda _: 4 * activations.nbytes)
    monkeypatch.setattr("thaw.data.loading._COPIED_BYTES", copied_bytes)
    opened = np.load(tmp_path / "activations.npy", mmap_mode="r")
    torch.set_warn_always(True)  # else torch warns once in a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            resident = ActivationSource(opened, np.arange(12)).resident(CPU)
    finally:
        torch.set_warn_always(False)
    assert resident is not None
    assert torch.equal(resident, torch.from_numpy(activations))


EVERYTHING = settings.augment(
    crop=0.3,
    flip=0.5,
    rotate=9.0,
    brightness=0.1,
    contrast=0.1,
    saturation=0.3,
    hue=0.1,
    tint=0.1,
    mixup=0.4,
    cutmix=1.0,
)


@pytest.mark.parametrize("framing", ["crop", "pad", "squish"])
def test_a_batch_is_prepared_on_a_device_without_waiting_for_it(
    prepared: Prepared, framing: str
) -> None:
    preprocessing = PREPROCESSING.model_copy(update={"framing": framing})
    source = prepared.images("train", preprocessing, 3, EVERYTHING)
    mixing = source.mixing(1)
    assert mixing is not None
    indices = mixing.append_partners(np.arange(5))
    device = torch.device("meta")  # it has shapes but no values, so that nothing can be read
    packed = source.read_packed(indices).mapped(lambda tensor: sent(tensor, device))
    for wanted in (nullcontext(), no_waiting()):  # values that stay on the device come first
        with wanted:
            inputs, _ = mixing.mix(source.finish_packed(packed, indices, 1), indices)
    assert (inputs.device, inputs.shape) == (device, (5, 3, 16, 16))


@pytest.mark.parametrize(
    "wait",
    [
        lambda: torch.zeros(3).to("meta"),
        lambda: torch.zeros(3, device="meta").index_put_((torch.tensor([1]),), torch.tensor(1.0)),
        lambda: torch.tensor([1.0, 2.0], device="meta") * torch.zeros(2),
    ],
)
def test_the_test_of_waiting_finds_what_waits(wait: Callable[[], object]) -> None:
    with pytest.raises((AssertionError, RuntimeError), match="device"), no_waiting():
        wait()


@pytest.mark.gpu
@pytest.mark.parametrize("framing", ["crop", "pad", "squish"])
def test_a_batch_is_prepared_on_a_gpu_without_waiting_for_it(
    prepared: Prepared, framing: str
) -> None:
    preprocessing = PREPROCESSING.model_copy(update={"framing": framing})
    source = prepared.images("train", preprocessing, 3, EVERYTHING)
    parts = batch_parts(shuffled(len(source), seed=3, epoch=1), 4)
    prepare = partial(batches, source, parts, torch.device("cuda"), epoch=1)
    first = [batch.inputs.cpu() for batch in prepare()]
    try:
        torch.cuda.set_sync_debug_mode("error")
        found = list(prepare())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(torch.equal(one, two.inputs.cpu()) for one, two in zip(first, found, strict=True))


def test_activations_above_a_quarter_of_the_free_memory_do_not_stay_on_a_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    activations = np.zeros((12, 5), dtype=np.float32)
    monkeypatch.setattr("thaw.data.loading.free_bytes", lambda _: 4 * activations.nbytes - 4)
    assert ActivationSource(activations, np.arange(12)).resident(CPU) is None


@pytest.mark.gpu
@pytest.mark.parametrize("augmentation", [None, SOME, MIXED, NOISY])
@MODES
def test_a_gpu_gets_the_batches_of_the_cpu(
    prepared: Prepared, augmentation: FixedAugment | None, workers: int
) -> None:
    source = prepared.images("train", PREPROCESSING, 3, augmentation)
    parts = batch_parts(shuffled(len(source), seed=3, epoch=1), 4)
    found = list(batches(source, parts, torch.device("cuda"), workers=workers, epoch=1))
    for one, two in zip(found, load(source, parts, epoch=1), strict=True):
        torch.testing.assert_close(one.inputs.cpu(), two.inputs, rtol=0, atol=2.5 / 255 / 0.1)
        assert torch.equal(one.targets.cpu(), two.targets)
        assert torch.equal(one.weights.cpu(), two.weights)


@pytest.mark.gpu
def test_activations_stay_on_a_gpu() -> None:
    source = ActivationSource(np.arange(60, dtype=np.float32).reshape(12, 5), np.arange(12))
    parts = batch_parts(shuffled(12, seed=0, epoch=0), 5)
    gpu = torch.device("cuda")
    for one, two in zip(batches(source, parts, gpu), load(source, parts), strict=True):
        assert torch.equal(one.inputs.cpu(), two.inputs)
    assert source.resident(gpu) is source.resident(gpu)

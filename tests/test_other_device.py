"""Tests that what computes on a device has all of its tensors there; see tests.other_device."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
import torch

from tests import settings, tiny
from tests.data.no_waiting import no_waiting
from tests.model.test_directory import made
from tests.model.test_predictor import encoded
from tests.other_device import DEVICE, choose, one_device
from tests.training import phase
from tests.training.test_optimizer_step import EVERYTHING
from thaw.data.batches import batches
from thaw.data.loading import batch_parts
from thaw.evaluation.latency import latency_ms
from thaw.evaluation.page.heat_maps import heat_maps
from thaw.evaluation.page.network_section import first_filters
from thaw.model import batchnorm, directory
from thaw.model.calibration import CalibratedSoftmax, Calibration
from thaw.model.channel_statistics import expected, observed, shift
from thaw.model.drift import FoldedPlaces, Reference, statistics_after_merge
from thaw.model.frozen_part import FrozenPart
from thaw.model.predictor import Predictor
from thaw.search.cached_views import CachedViews
from thaw.training import lr_range_test, trainable_state
from thaw.training.activation_cache import Cache
from thaw.training.bn_recalibration import recalibrate
from thaw.training.cached_activations import CachedActivations
from thaw.training.layerwise_pretraining import pretrain
from thaw.training.learner import Learner
from thaw.training.lr_range_test import Sweep
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.runtime import logits
from thaw.training.setup import TrainingSetup
from thaw.training.weight_average import WeightAverage
from thaw.training.weight_interpolation import interpolated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thaw.data.loading import ImageSource
    from thaw.literals import BatchNormPolicy
    from thaw.training.runtime import Runtime


# A state dict does not replace tensors without values.
pytestmark = pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    made = replace(tiny.runtime(), asynchronous=True, checkpoint_seconds=1e-9)
    choose(monkeypatch)
    with one_device():
        yield made


@pytest.fixture
def images(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "images", 12, augmented=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "policy"),
    [("sgd", "train"), ("lamb", "frozen"), ("pulls", "fixed"), ("everything", "affine")],
)
def test_a_training_is_on_its_device(
    name: str,
    policy: BatchNormPolicy,
    runtime: Runtime,
    images: ImageSource,
    tmp_path: Path,
) -> None:
    variant = phase.VARIANTS[name]
    short = replace(variant, training=variant.training.model_copy(update={"epochs": 2}))
    model = phase.model(2, policy, dropout=0.5)
    progress = phase.fit_variant(tmp_path, model, (images, images), short, runtime=runtime)
    assert progress.epoch == 2
    assert {x.device for x in model.parameters()} == {DEVICE}


@pytest.mark.slow
def test_a_training_goes_on_from_a_checkpoint_on_its_device(
    runtime: Runtime, images: ImageSource, tmp_path: Path
) -> None:
    variant = phase.VARIANTS["everything"]
    with pytest.raises(phase.Killed):
        phase.fit_variant(
            tmp_path, phase.model(2), (images, phase.Dying(images, 2)), variant, runtime=runtime
        )
    phase.fit_variant(tmp_path, phase.model(2), (images, images), variant, runtime=runtime)


@pytest.mark.parametrize("policy", phase.POLICIES)
def test_a_step_with_all_penalties_and_an_average_does_not_wait_for_its_device(
    policy: BatchNormPolicy, runtime: Runtime, images: ImageSource
) -> None:
    model = phase.model(2, policy, dropout=0.5)
    regularize = settings.regularize(label_smoothing=0.1, ema=0.9, **EVERYTHING)
    setup = TrainingSetup(phase.config(optimizer="adamw"), regularize, phase.SEED)
    learner = Learner(runtime, model, images.targets, setup, 0)
    assert model.plan is not None
    average = WeightAverage(trainable_state.state(model, model.plan), 0.9)
    batch = next(runtime.load(images, batch_parts(np.arange(8), 8), 1))
    learner.network.train()
    learner.learn(batch, 1, 0, 0)  # makes the state of the optimiser, and the class weights there
    with no_waiting():
        learner.set_rate(0.5)
        learner.learn(batch, 1, 1, 1)
        average.update(trainable_state.state(model, model.plan), 1)
    assert {value.device for value in average.values.values()} == {DEVICE}


@pytest.mark.slow
def test_a_learning_rate_is_searched_on_the_device(runtime: Runtime, images: ImageSource) -> None:
    model = phase.model(2, "train")
    setup = TrainingSetup(phase.config(), settings.regularize(), phase.SEED, accumulate=2)
    found = lr_range_test.find(
        runtime, model, PhaseInputs(images, images, 0), setup, Sweep(steps=10)
    )
    assert len(found.rates) == 10
    assert {x.device for x in model.parameters()} == {DEVICE}


def test_views_of_cached_activations_are_chosen_on_the_device(
    runtime: Runtime, images: ImageSource, tmp_path: Path
) -> None:
    model = phase.model(0)
    cache = CachedActivations(runtime, Cache(tmp_path / "cache", 1e9, "data"))
    part = FrozenPart(model.part(0, 3))
    views = CachedViews(
        [cache.of(part, images, "train", epoch) for epoch in (1, 2)], np.arange(12), seed=1
    )
    for epoch in (2, 3):  # the second view, and a drawn one of each image
        batch = next(runtime.load(views, batch_parts(np.arange(12), 8), epoch))
        assert batch.inputs.device == DEVICE
    phase.fit(tmp_path, model, (views, views), runtime=runtime, cut=3)


def test_cached_activations_stay_on_the_device(
    runtime: Runtime, images: ImageSource, tmp_path: Path
) -> None:
    model = phase.model(0)
    part = FrozenPart(model.part(0, 3))
    cache = CachedActivations(runtime, Cache(tmp_path / "cache", 1e9, "data"))
    source = cache.of(part, images, "train")
    assert source.resident(DEVICE) is not None
    phase.fit(tmp_path, model, (source, source), runtime=runtime, cut=3)


def test_fold_merge_and_drift_are_computed_on_the_device(
    runtime: Runtime, images: ImageSource
) -> None:
    model = tiny.classifier()
    assert recalibrate(runtime, model, images, seed=1) == 3
    statistics = expected(model)
    assert batchnorm.fold_all(model) == 3
    folded = batchnorm.affine_names(model)
    pairs = batchnorm.merge_pairs(model, torch.zeros(1, 3, 16, 16, device=DEVICE))
    statistics = statistics_after_merge(statistics, model, pairs)
    batchnorm.merge(model, pairs)
    places = FoldedPlaces.of(folded, pairs)
    with places.watched(model) as moments, torch.inference_mode():
        for batch in batches(images, batch_parts(np.arange(12), 8), DEVICE):
            model(batch.inputs)
    Reference({name: (m.mean, m.std) for name, m in moments.items()}, statistics).tensors()


def test_scores_and_pictures_are_computed_on_the_device(
    runtime: Runtime, images: ImageSource
) -> None:
    model = tiny.classifier()
    outputs = logits(runtime, model, images, "scores")
    assert outputs.device.type == "cpu"
    softmax = CalibratedSoftmax(Calibration(scale=[1.0] * 3, offset=[0.0] * 3)).to(DEVICE)
    assert softmax(outputs.to(DEVICE)).device == DEVICE
    assert latency_ms(runtime, model, images) >= 0
    inputs = images.finish(images.read(np.arange(2)).to(DEVICE), np.arange(2), None)
    assert heat_maps(model, inputs, np.arange(2)) is not None
    assert first_filters(model) is not None


def test_the_shift_of_statistics_is_measured_on_the_device(
    runtime: Runtime, images: ImageSource
) -> None:
    model = tiny.classifier()
    before = expected(model)
    with observed(model, before) as moments:
        logits(runtime, model, images, "statistics")
    assert {m.total.device for m in moments.values()} == {DEVICE}
    assert shift(before, moments) >= 0


@pytest.mark.parametrize("form", ["original", "merged"])
def test_a_service_predicts_and_measures_drift_on_its_device(
    form: Literal["original", "merged"], runtime: Runtime, tmp_path: Path
) -> None:
    assert runtime.device == DEVICE
    model, spec = made(form)
    pixels = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
    places = FoldedPlaces.of(spec.folded, spec.merged)
    with places.watched(model.eval()) as moments, torch.inference_mode():
        model(spec.preprocessing.normalize(pixels / 255))
    reference = Reference({name: (m.mean, m.std) for name, m in moments.items()})
    directory.save(model, spec, tmp_path / "model", reference)
    predictor = Predictor(tmp_path / "model", batch_size=2, device=DEVICE)
    assert {x.device for x in predictor.classifier.parameters()} == {DEVICE}
    assert predictor.compute(pixels).device == DEVICE
    waiting = [predictor.start(pixels, watch=True) for _ in range(4)]
    assert [wait().shape for wait in waiting] == [(8, 3)] * 4
    assert predictor.drift is not None
    assert predictor.drift.images == 32
    assert predictor.drift.score is not None
    found = predictor.probabilities([encoded((32, 32), "PNG")] * 3)
    assert (found.shape, found.device.type) == ((3, 3), "cpu")


def test_the_latency_of_a_model_that_was_not_moved_yet_is_measured_on_the_device(
    runtime: Runtime, images: ImageSource
) -> None:
    model = tiny.classifier()
    assert latency_ms(runtime, model, images) >= 0
    assert {x.device for x in model.parameters()} == {DEVICE}


def test_weights_of_the_cpu_are_interpolated_on_the_device(runtime: Runtime) -> None:
    model = phase.model(2)
    start = phase.state(model)
    assert model.plan is not None
    end = trainable_state.state(model.to(runtime.device), model.plan)
    assert {value.device for value in interpolated(start, end, 0.5).values()} == {DEVICE}


@pytest.mark.slow
def test_blocks_are_pretrained_on_the_device(runtime: Runtime, images: ImageSource) -> None:
    assert len(pretrain(runtime, tiny.classifier().blocks, images, 1, seed=2)) == 3


def test_an_operation_of_two_devices_is_found() -> None:
    here, there = torch.zeros(2), torch.zeros(2, device=DEVICE)
    with one_device(), pytest.raises(AssertionError, match="two devices"):
        here + there
    with one_device():
        assert (there * torch.tensor(2.0)).device == DEVICE
        assert torch.equal(there.cpu(), torch.ones(2))

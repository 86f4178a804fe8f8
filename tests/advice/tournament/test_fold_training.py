from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.advice.project import BLOCKS, open_model
from tests.training.phase import state
from thaw.advice.tournament.candidates import Input
from thaw.advice.tournament.development import development
from thaw.advice.tournament.features import FeatureReader
from thaw.advice.tournament.fold_training import FoldTrainer
from thaw.advice.tournament.stage_choices import HeadMethod
from thaw.advice.tournament.training_candidates import head_alone, trainings
from thaw.config.editing import write_values
from thaw.context import Context
from thaw.data.packed_store import PackedStore
from thaw.data.split_names import TEST
from thaw.model.classifier import Classifier
from thaw.model.frozen_part import FrozenPart
from thaw.training import cached_activations
from thaw.training.calibration import calibrated_losses
from thaw.training.logit_scaling import uncalibrated_losses
from thaw.training.runtime import forward_all, logits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.advice.project import Opened
    from thaw.literals import LinearFit


def trainer(opened: Opened, fit: LinearFit = "logistic", strength: float = 0.01) -> FoldTrainer:
    """Return a trainer of the tiny project."""
    images = development(opened.context.data, 1000, seed=0)
    head = HeadMethod(fit, strength, is_compared=True)
    return FoldTrainer.start(
        opened.context, opened.classifier, opened.spec.preprocessing, images, head
    )


def test_features_that_the_comparison_of_heads_has_read_are_not_computed_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_model()
    images = development(opened.context.data, 1000, seed=0)
    preprocessing = opened.spec.preprocessing
    reader = FeatureReader(opened.context, opened.classifier, preprocessing, images)
    known = reader.read(Input.read_by(preprocessing))
    part = FrozenPart(opened.classifier.part(0, BLOCKS))
    source = images.source(preprocessing)
    runtime = opened.context.runtime
    alone = [outputs.numpy() for _, outputs in forward_all(runtime, part, source, "the head's")]
    assert np.array_equal(known.of(opened.classifier.taps), np.concatenate(alone))
    monkeypatch.setattr(cached_activations, "_compute", None)
    assert trainer(opened).small is not None


@pytest.mark.parametrize("fit", ["logistic", "svm", "lda"])
def test_the_head_alone_predicts_the_images_of_the_fold(project: Path, fit: LinearFit) -> None:
    opened = open_model()
    found = trainer(opened, fit)
    result = found.result(head_alone(opened.context.params.unfreeze, 7), 0)
    assert result.losses.shape == (len(found.fold.predict),)
    assert result.right.mean() > 0.6  # the classes differ in colour


@pytest.mark.parametrize("setting", ["off", "auto", "temperature"])
def test_predictions_are_judged_with_the_calibration_that_is_kept(
    project: Path, setting: str
) -> None:
    write_values({"regularize.calibration": setting})
    opened = open_model()
    found = trainer(opened, strength=1.0)
    everything = np.arange(len(found.images.ids))  # fewer than ten images are not calibrated
    found = replace(found, fold=found.fold._replace(predict=everything))
    result = found.result(head_alone(opened.context.params.unfreeze, 7), 0)
    assert result.model is not None
    outputs = logits(opened.context.runtime, result.model, found._predicted(), "test")
    scores, targets = outputs.double().numpy(), found.images.targets[found.fold.predict]
    plain, scaled = uncalibrated_losses(scores, targets), calibrated_losses(scores, targets)
    assert plain.mean() < scaled.mean()  # so that auto keeps no temperature
    expected = scaled if setting == "temperature" else plain
    np.testing.assert_allclose(result.losses, expected)


@pytest.mark.slow
def test_training_changes_the_predictions_and_not_the_model(project: Path) -> None:
    opened = open_model()
    before = copy.deepcopy(state(opened.classifier))
    found = trainer(opened)
    started = copy.deepcopy(state(found.classifier))
    settings = opened.context.params.unfreeze.model_copy(update={"lr": 0.01, "batch_norm": "auto"})
    alone = found.result(head_alone(settings, 7), 0)
    trained = [found.result(each, 2) for each in trainings(settings, 7)]
    assert all(len(each.losses) == len(alone.losses) for each in trained)
    assert any(not np.array_equal(each.losses, alone.losses) for each in trained)
    for model, known in ((opened.classifier, before), (found.classifier, started)):
        assert all((value == known[name]).all() for name, value in state(model).items())


def test_a_training_that_makes_the_model_worse_is_judged_by_its_last_epoch(project: Path) -> None:
    opened = open_model()
    settings = opened.context.params.unfreeze.model_copy(update={"lr": 0.1, "batch_norm": "frozen"})
    found = trainer(opened)
    alone = found.result(head_alone(settings, 7), 0)
    ruined = found.result(trainings(settings, 7)[0], 1)
    assert ruined.losses.mean() > alone.losses.mean()


@pytest.mark.slow
def test_a_training_goes_on_from_where_it_ended(project: Path) -> None:
    settings = open_model().context.params.unfreeze.model_copy(update={"batch_norm": "auto"})
    for way in trainings(settings, 7):
        found = trainer(open_model())
        first = found.result(way, 1)
        more = found.result(way, 2, first)
        assert (first.epochs, more.epochs) == (1, 3)
        assert more.seconds > first.seconds
        unmoved = found.result(way, 0, more)
        assert np.array_equal(unmoved.losses, more.losses)
        assert not np.array_equal(first.losses, more.losses)


@pytest.mark.slow
def test_images_are_augmented_in_another_way_when_a_training_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = []
    original = Context.train

    def recorded(context: Context, *given: Any) -> Any:
        seeds.append(context.params.seed)
        return original(context, *given)

    monkeypatch.setattr(Context, "train", recorded)
    found, way = trainer(open_model()), trainings(open_model().context.params.unfreeze, 7)[0]
    found.result(way, 2, found.result(way, 1))
    assert seeds == [0, 1]


def test_a_strong_training_starts_from_the_small_head(project: Path) -> None:
    settings = open_model().context.params.unfreeze.model_copy(update={"batch_norm": "auto"})
    found = trainer(open_model())
    assert found.small is not None
    for way in trainings(settings, 7):
        model = found.result(way, 0).model
        assert model is not None
        weight = next(iter(model.head.parameters())).detach().numpy()
        is_small = np.allclose(weight, found.small.weight, atol=1e-6)
        assert is_small == (way.batch_norm in {"train", "affine"})


def test_models_of_candidates_do_not_stay_on_a_device(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[Classifier] = []

    def cpu(model: Classifier) -> Classifier:
        moved.append(model)
        return model

    monkeypatch.setattr(Classifier, "cpu", cpu)
    opened = open_model()
    found = trainer(opened).result(head_alone(opened.context.params.unfreeze, 7), 0)
    assert any(model is found.model for model in moved)


def test_the_same_training_gives_the_same_losses(project: Path) -> None:
    opened = open_model()
    way = trainings(opened.context.params.unfreeze, 7)[0]
    first, second = (trainer(opened).result(way, 1) for _ in range(2))
    assert first.losses.tolist() == second.losses.tolist()


def test_no_image_of_the_test_split_is_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, read = open_model(), set()
    original = PackedStore._content

    def recorded(store: PackedStore, image_id: int) -> object:
        read.add(image_id)
        return original(store, image_id)

    monkeypatch.setattr(PackedStore, "_content", recorded)
    trainer(opened).result(trainings(opened.context.params.unfreeze, 7)[0], 1)
    assert read
    assert not read & set(opened.context.data.manifest.ids(TEST))

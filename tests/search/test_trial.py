from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests import settings, tiny
from tests.search import project
from thaw.data.loading import ActivationSource
from thaw.search import trial
from thaw.search.cached_views import Views
from thaw.search.parameter_values import with_values
from thaw.search.trial_context import HEADS, Ground, load_head
from thaw.training.phase_inputs import PhaseInputs

if TYPE_CHECKING:
    from thaw.config.params import Params
    from thaw.training.history import Row


def with_batch_norm(params: Params) -> Ground:
    """On the network of three blocks instead."""
    ground = project.opened(params)
    _, spec = ground.begun(params.head)
    ground._begun["[]"] = (tiny.classifier(), spec)
    return ground


def uncached(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every epoch reads the images, as the naive way does."""

    def images(
        _: Ground, classifier: Any, cut: int, params: Params, augmentation: Any
    ) -> PhaseInputs:
        preprocessing = ground.spec.preprocessing
        train = ground.data.images("train", preprocessing, params.seed, augmentation)
        return PhaseInputs(train, ground.data.images("val", preprocessing), 0)

    monkeypatch.setattr(Ground, "inputs", images)


def trained(ground: Ground, params: Params) -> tuple[list[Row], dict[str, torch.Tensor]]:
    rows: list[Row] = []
    _, classifier = trial.run(ground, params, rows.append)
    return rows, {key: value.clone() for key, value in classifier.state_dict().items()}


@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize("batch_norm", ["train", "frozen", "affine"])
@pytest.mark.parametrize("depth", [0, 2])
def test_cached_training_ends_with_the_weights_of_uncached_training(
    depth: int, batch_norm: str, augmented: bool, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    augment = settings.augment(**({"rotate": 10.0, "flip": 0.5} if augmented else {}))
    params = with_values(params, {"unfreeze.depth": depth, "unfreeze.batch_norm": batch_norm})
    params = params.model_copy(update={"augment": augment})
    with_cache = trained(with_batch_norm(params), params)
    for path in HEADS.iterdir():
        path.unlink()
    ground = with_batch_norm(params)
    uncached(ground, monkeypatch)
    without = trained(ground, params)
    assert with_cache[1].keys() == without[1].keys()
    for key, value in without[1].items():
        assert torch.equal(with_cache[1][key], value), key
    assert len(with_cache[0]) == params.unfreeze.epochs + 1


def test_a_trial_reports_what_it_comes_to(params: Params) -> None:
    rows: list[Row] = []
    result, _ = trial.run(project.opened(params), params, rows.append)
    best = min(rows, key=lambda row: row.val_loss)
    assert (result.metrics["log_loss"], result.metrics["accuracy"]) == (
        best.val_loss,
        best.val_accuracy,
    )
    assert result.best_epoch == best.epoch
    assert 0 <= result.metrics["macro_f1"] <= 1
    assert result.latency_ms is None


def test_latency_is_measured_where_it_is_asked_for(params: Params) -> None:
    search = params.search.model_copy(update={"latency": True})
    params = params.model_copy(update={"search": search})
    result, _ = trial.run(project.opened(params), params, lambda _: None)
    assert result.latency_ms is not None
    assert result.latency_ms > 0


def test_one_head_is_the_warm_start_of_every_depth(params: Params) -> None:
    ground = project.opened(params)
    first = {}
    for depth in (0, 1, 2):
        rows: list[Row] = []
        trial.run(ground, with_values(params, {"unfreeze.depth": depth}), rows.append)
        first[depth] = rows[0].val_loss
    assert len(list(HEADS.iterdir())) == 1
    assert first[0] == pytest.approx(first[1], abs=1e-6)
    assert first[0] == pytest.approx(first[2], abs=1e-6)
    trial.run(ground, with_values(params, {"head.hidden": [8]}), lambda _: None)
    assert len(list(HEADS.iterdir())) == 2


def test_a_damaged_head_is_trained_again(params: Params) -> None:
    ground = project.opened(params)
    whole = trained(ground, params)[1]
    (path,) = HEADS.iterdir()
    path.write_bytes(path.read_bytes()[:50])
    again = trained(ground, params)[1]
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert load_head(path) is not None


def test_what_is_frozen_is_not_computed_twice(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = project.opened(params)
    trial.run(ground, params, lambda _: None)

    def never(*_: object) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr("thaw.data.loading.ImageSource.read", never)
    other = project.opened(params)  # another worker, or tomorrow
    trial.run(other, with_values(params, {"unfreeze.lr": 0.005}), lambda _: None)


def test_a_trial_leaves_the_shared_backbone_as_it_was(params: Params) -> None:
    ground = with_batch_norm(params)
    shared = ground.begun(params.head)[0]
    before = {key: value.clone() for key, value in shared.state_dict().items()}
    trial.run(ground, with_values(params, {"unfreeze.batch_norm": "train"}), lambda _: None)
    assert all(torch.equal(before[key], value) for key, value in shared.state_dict().items())


def views(count: int = 3, images: int = 6) -> Views:
    made = [
        ActivationSource(np.full((images, 2), view, np.float32), np.arange(images))
        for view in range(count)
    ]
    return Views(made, np.arange(images) + 10, seed=1)


def drawn(source: Views, places: list[int], epoch: int | None) -> list[float]:
    at = np.array(places)
    return list(source.finish(source.read(at), at, epoch)[:, 0].tolist())


def test_the_first_epochs_take_the_views_in_order() -> None:
    source = views()
    assert [drawn(source, [0, 5], epoch) for epoch in (1, 2, 3)] == [[0, 0], [1, 1], [2, 2]]
    assert drawn(source, [3], None) == [0]


def test_later_ones_draw_a_view_for_each_image_whatever_the_batch() -> None:
    source = views()
    whole = [drawn(source, list(range(6)), epoch) for epoch in range(4, 14)]
    alone = [[drawn(source, [n], epoch)[0] for n in range(6)] for epoch in range(4, 14)]
    assert whole == alone
    assert {value for epoch in whole for value in epoch} == {0, 1, 2}
    assert len({tuple(epoch) for epoch in whole}) > 5

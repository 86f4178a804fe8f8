from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests import settings, tiny
from tests.search import project
from thaw.config.parameter_values import with_values
from thaw.evaluation.latency import latency_ms
from thaw.search import trial
from thaw.search.trained_heads import FOLDER, load_head
from thaw.training import memory_fit
from thaw.training.calibration import calibrated_losses
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from thaw.config.params import Params
    from thaw.context import Context, Phase
    from thaw.data.loading import ImageSource
    from thaw.model.classifier import Classifier
    from thaw.search.trial_context import TrialContext
    from thaw.training.history import EpochRow
    from thaw.training.rehearsal import Rehearsal
    from thaw.training.runtime import Runtime


def with_batch_norm(params: Params) -> TrialContext:
    """Return a context in which a network of three blocks with BatchNorm is the backbone."""
    shared = project.opened(params)
    _, spec = shared.backbones.original(params)
    shared.backbones._originals = dict.fromkeys(
        shared.backbones._originals, (tiny.classifier(), spec)
    )
    return shared


def read_images(context: Context, classifier: Any, phase: Phase) -> PhaseInputs:
    """Return the images themselves: every epoch reads them and nothing is cached."""
    train = context.data.images(
        "train", phase.preprocessing, context.params.seed, phase.augmentation
    )
    return PhaseInputs(train, context.data.images("val", phase.preprocessing), 0)


def trained(shared: TrialContext, params: Params) -> tuple[list[EpochRow], dict[str, torch.Tensor]]:
    rows: list[EpochRow] = []
    _, classifier = trial.run(shared, params, rows.append)
    return rows, {key: value.clone() for key, value in classifier.state_dict().items()}


@pytest.mark.parametrize(("depth", "batch_norm", "augmented"), [
    (2, "train", False), (2, "train", True), (2, "frozen", True), (2, "affine", True),
    (0, "frozen", False), (0, "frozen", True),
])  # fmt: skip
def test_cached_training_ends_with_the_weights_of_uncached_training(
    depth: int, batch_norm: str, augmented: bool, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    augment = settings.augment(**({"rotate": 10.0, "flip": 0.5} if augmented else {}))
    params = with_values(params, {"unfreeze.depth": depth, "unfreeze.batch_norm": batch_norm})
    params = params.model_copy(update={"augment": augment})
    with_cache = trained(with_batch_norm(params), params)
    for path in FOLDER.iterdir():
        path.unlink()
    uncached = with_batch_norm(params)
    monkeypatch.setattr(uncached, "open_inputs", read_images)
    without = trained(uncached, params)
    assert with_cache[1].keys() == without[1].keys()
    for key, value in without[1].items():
        assert torch.equal(with_cache[1][key], value), key
    assert len(with_cache[0]) == params.unfreeze.epochs + 1


def test_the_result_has_the_metrics_of_the_best_epoch(params: Params) -> None:
    params = with_values(params, {"regularize.calibration": "off"})
    rows: list[EpochRow] = []
    result, _ = trial.run(project.opened(params), params, rows.append)
    best = min(rows, key=lambda row: row.val_loss)
    assert (result.metrics["log_loss"], result.metrics["accuracy"]) == (
        best.val_loss,
        best.val_accuracy,
    )
    assert result.best_epoch == best.epoch
    assert 0 <= result.metrics["macro_f1"] <= 1
    assert result.latency_ms is None


def test_the_result_is_scored_with_cross_fitted_temperatures(params: Params) -> None:
    rows: list[EpochRow] = []
    opened = project.opened(params)
    result, classifier = trial.run(opened, params, rows.append)
    best = min(rows, key=lambda row: row.val_loss)
    source = opened.project.data.images("val", opened.preprocessing(params))
    outputs = logits(opened.project.runtime, classifier, source, "").numpy()
    expected = float(calibrated_losses(outputs, source.targets).mean())
    assert result.metrics["log_loss"] == pytest.approx(expected, abs=1e-4)
    assert result.metrics["log_loss"] != pytest.approx(best.val_loss, abs=1e-3)
    assert result.metrics["accuracy"] == best.val_accuracy


@pytest.mark.parametrize(("keep", "stands"), [("if_better", True), ("auto", False)])
def test_the_head_stands_where_the_stage_would_drop_the_training(
    params: Params, keep: str, stands: bool
) -> None:
    params = with_values(params, {"unfreeze.depth": 2, "unfreeze.batch_norm": "frozen"})
    shared = with_batch_norm(params)
    # The best epoch of a rate of nearly 0 is better by less than a hundredth.
    slow = with_values(params, {"unfreeze.keep": keep, "unfreeze.lr": 1e-9})
    none = with_values(params, {"unfreeze.epochs": 0})
    alone, _ = trial.run(shared, none, lambda _: None)
    result, classifier = trial.run(shared, slow, lambda _: None)
    head = load_head(shared.head_path(slow))
    assert head is not None
    if stands:
        values = classifier.head.state_dict()
        assert all(torch.equal(value, head[key]) for key, value in values.items())
        assert result.best_epoch == 0
        assert result.metrics["log_loss"] == pytest.approx(alone.metrics["log_loss"])
        assert result.metrics["accuracy"] == alone.metrics["accuracy"]
    assert len(result.curve) > 1  # what was trained is in the curve in any case


def test_latency_is_measured_only_if_it_is_an_objective(params: Params) -> None:
    search = params.search.model_copy(update={"latency": True})
    params = params.model_copy(update={"search": search})
    result, _ = trial.run(project.opened(params), params, lambda _: None)
    assert result.latency_ms is not None
    assert result.latency_ms > 0


def test_latency_is_measured_in_the_precision_of_serving(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = with_values(params, {"search.latency": True, "launch.precision": "bf16"})
    dtypes: list[torch.dtype] = []

    def watched(runtime: Runtime, classifier: Classifier, source: ImageSource) -> float:
        assert runtime.precision.name == "bf16"
        hook = classifier.head.register_forward_hook(lambda *seen: dtypes.append(seen[-1].dtype))
        found = latency_ms(runtime, classifier, source)
        hook.remove()
        return found

    monkeypatch.setattr(trial, "latency_ms", watched)
    with tiny.bf16_runtime() as runtime:
        shared = project.opened(params)
        assert shared.project.runtime.precision == runtime.precision
        trial.run(shared, params, lambda _: None)
    assert set(dtypes) == {torch.float32}


def test_trials_of_every_depth_start_from_the_same_trained_head(params: Params) -> None:
    shared = project.opened(params)
    first = {}
    for depth in (0, 1, 2):
        rows: list[EpochRow] = []
        trial.run(shared, with_values(params, {"unfreeze.depth": depth}), rows.append)
        first[depth] = rows[0].val_loss
    assert len(list(FOLDER.iterdir())) == 1
    assert first[0] == pytest.approx(first[1], abs=1e-6)
    assert first[0] == pytest.approx(first[2], abs=1e-6)
    trial.run(shared, with_values(params, {"head.hidden": [8]}), lambda _: None)
    assert len(list(FOLDER.iterdir())) == 2


def test_a_damaged_head_is_trained_again(params: Params) -> None:
    shared = project.opened(params)
    whole = trained(shared, params)[1]
    (path,) = FOLDER.iterdir()
    path.write_bytes(path.read_bytes()[:50])
    again = trained(shared, params)[1]
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert load_head(path) is not None


def test_frozen_blocks_are_computed_once(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = project.opened(params)
    trial.run(shared, params, lambda _: None)

    def refuse(*_: object) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr("thaw.data.loading.ImageSource.read", refuse)
    other = project.opened(params)  # another worker, or a later search
    trial.run(other, with_values(params, {"unfreeze.lr": 0.005}), lambda _: None)


def test_a_trial_does_not_change_the_shared_backbone(params: Params) -> None:
    shared = with_batch_norm(params)
    original, _ = shared.backbones.original(params)
    before = {key: value.clone() for key, value in original.state_dict().items()}
    trial.run(shared, with_values(params, {"unfreeze.batch_norm": "train"}), lambda _: None)
    assert all(torch.equal(before[key], value) for key, value in original.state_dict().items())


@pytest.mark.slow
def test_trials_of_two_backbones_share_nothing_that_differs(params: Params) -> None:
    other = with_values(params, {"backbone.name": "timm/test_resnet", "unfreeze.depth": 0})
    params = with_values(params, {"unfreeze.depth": 0})
    alone = [trained(project.opened(each), each)[0] for each in (params, other)]
    shared = project.opened(params)
    together = [trained(shared, each)[0] for each in (params, other, params)]
    assert together == [alone[0], alone[1], alone[0]]


def test_a_repeated_trial_has_the_measured_choices_of_the_first(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = with_values(params, {"launch.accumulate": "auto"})
    measured: list[int] = []

    def fewest_parts(_: Rehearsal) -> int:
        """Return what fits now; another program may use the memory."""
        measured.append(len(measured) + 1)
        return measured[-1]

    monkeypatch.setattr(memory_fit, "fewest_parts", fewest_parts)
    first = trained(project.opened(params), params)[1]
    assert measured == [1, 2]
    for path in FOLDER.iterdir():  # so that the warm-up is repeated, too
        path.unlink()
    again = trained(project.opened(params), params)[1]
    assert measured == [1, 2]
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    trained(project.opened(params), with_values(params, {"unfreeze.lr": 0.002}))
    assert measured == [1, 2, 3]

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from tests import tiny
from tests.training import phase
from tests.training.no_reading import no_reading
from thaw.data.loading import ActivationSource, ImageSource
from thaw.data.random_draws import shuffled
from thaw.errors import ThawError
from thaw.model.frozen_part import FrozenPart
from thaw.optimizers.registry import OPTIMIZERS
from thaw.training import loop, schedule
from thaw.training.checkpoints import Checkpoints
from thaw.training.epoch_loss import EpochLoss
from thaw.training.runtime import logits, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from torch import Tensor

    from thaw.data.batches import Batch
    from thaw.literals import BatchNormPolicy
    from thaw.model.classifier import Classifier
    from thaw.training.history import EpochRow

    Result = tuple[dict[str, Tensor], list[EpochRow]]

STEPS = math.ceil(phase.TRAIN / phase.BATCH)  # in an epoch
POLICIES = pytest.mark.parametrize("policy", phase.POLICIES)


@pytest.fixture
def mislabelled(val: ImageSource) -> ImageSource:
    """Return images with wrong labels: their loss falls first and rises as the model overfits."""
    val.targets[:5] = (val.targets[:5] + 1) % 3
    return val


def loss(model: Classifier, source: ImageSource) -> float:
    assert model.plan is not None
    cut = model.plan.cut
    merged = nn.Sequential(FrozenPart(model.part(0, cut)), model.part(cut))  # as training runs it
    scores = logits(tiny.runtime(), merged, source, "")
    return float(F.cross_entropy(scores.double(), torch.from_numpy(source.targets)))


# What comes out.


@POLICIES
def test_training_learns(
    tmp_path: Path, train: ImageSource, val: ImageSource, policy: BatchNormPolicy
) -> None:
    model = phase.model(2, policy)
    progress = phase.fit(tmp_path, model, (train, val), phase.config(lr=0.1, epochs=6))
    assert progress.history[0].val_loss > 1
    assert loss(model, val) < 0.3
    assert not model.training


@POLICIES
def test_the_best_epoch_is_what_stands_and_patience_ends_the_training(
    tmp_path: Path, train: ImageSource, mislabelled: ImageSource, policy: BatchNormPolicy
) -> None:
    model = phase.model(2, policy)
    config = phase.config(lr=0.05, epochs=30, patience=2)
    progress = phase.fit(tmp_path, model, (train, mislabelled), config)
    losses = [row.val_loss for row in progress.history]
    assert 0 < progress.best_epoch == losses.index(min(losses))
    assert len(losses) == progress.best_epoch + 1 + 2
    assert loss(model, mislabelled) == losses[progress.best_epoch]


@POLICIES
def test_the_model_is_bitwise_unchanged_if_no_epoch_is_better(
    tmp_path: Path, train: ImageSource, val: ImageSource, policy: BatchNormPolicy
) -> None:
    model = phase.model(2, policy, dropout=0.5)
    before = phase.state(model)
    progress = phase.fit(tmp_path, model, (train, val), phase.config(lr=10.0, epochs=2))
    assert progress.best_epoch == 0
    assert len(progress.history) == 3
    assert all(math.isfinite(row.val_loss) for row in progress.history)
    assert phase.differing(before, phase.state(model)) == []


def test_without_its_start_a_phase_keeps_the_best_epoch_that_trained(
    tmp_path: Path, train: ImageSource, val: ImageSource
) -> None:
    model = phase.model(2, "train")
    config = phase.config(lr=10.0, epochs=3)
    progress = phase.fit(tmp_path, model, (train, val), config, keeps_start=False)
    losses = [row.val_loss for row in progress.history]
    assert losses[0] < min(losses[1:])
    assert losses[progress.best_epoch] == min(losses[1:])
    assert loss(model, val) == losses[progress.best_epoch]


def test_no_epochs_score_the_model_and_read_no_training_image(
    tmp_path: Path, train: ImageSource, val: ImageSource
) -> None:
    model = phase.model()
    before = phase.state(model)
    sources = phase.Dying(train, 1), val
    progress = phase.fit(tmp_path, model, sources, phase.config(epochs=0))
    (row,) = progress.history
    assert (row.epoch, row.train_loss, row.lr) == (0, None, 0.0)
    assert row.val_loss == loss(model, val)
    assert phase.differing(before, phase.state(model)) == []


def test_the_history_says_what_was_measured(
    tmp_path: Path, train: ImageSource, val: ImageSource
) -> None:
    model = phase.model()
    config = phase.config(lr=1e-12, epochs=2)
    rows: list[EpochRow] = []
    progress = phase.fit(tmp_path, model, (train, val), config, log=rows.append)
    assert rows == progress.history
    assert [row.epoch for row in rows] == [0, 1, 2]
    # a mean over images, not over batches: the last batch is smaller
    measured = pytest.approx(loss(model, train), rel=1e-5)
    assert [row.train_loss for row in rows] == [None, measured, measured]
    assert rows[1].val_loss == pytest.approx(loss(model, val), rel=1e-5)
    predicted = logits(tiny.runtime(), model, val, "").argmax(1).numpy()
    assert rows[1].val_accuracy == pytest.approx((predicted == val.targets).mean())
    expected = [config.lr * schedule.factor(step, 2 * STEPS, 0.1, "cosine") for step in (4, 9)]
    assert [row.lr for row in rows[1:]] == pytest.approx(expected)


def test_an_epoch_takes_every_image_once_and_in_an_order_of_its_own(
    tmp_path: Path, train: ImageSource, val: ImageSource
) -> None:
    noted = phase.Dying(train)
    phase.fit(tmp_path, phase.model(), (noted, val))
    places = np.concatenate(noted.seen).reshape(3, phase.TRAIN)
    assert all(sorted(epoch) == list(range(phase.TRAIN)) for epoch in places.tolist())
    assert len({tuple(epoch) for epoch in places.tolist()}) == 3


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_whatever_loads_and_whatever_ran_before(
    tmp_path: Path, val: ImageSource
) -> None:
    train = phase.images(tmp_path / "augmented", augmented=True)
    states = []
    for workers in (0, 2):
        torch.manual_seed(workers)
        runtime = start(phase.launch(1), phase.resources(workers=workers))
        model = phase.model(3, "train", dropout=0.5)
        phase.fit(tmp_path / str(workers), model, (train, val), runtime=runtime)
        states.append(phase.state(model))
    assert phase.differing(*states) == []


# What is not finite.


def poisoned(source: ImageSource, place: int, value: float) -> ActivationSource:
    places = np.arange(len(source))
    images = source.finish(source.read(places), places, epoch=None).numpy().copy()
    images[place, 0, 3, 3] = value
    return ActivationSource(images, source.targets)


@POLICIES
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_input_that_is_not_finite_stops_before_any_weight_changes(
    tmp_path: Path, train: ImageSource, val: ImageSource, policy: BatchNormPolicy, value: float
) -> None:
    model = phase.model(2, policy)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    sources = poisoned(train, 20, value), val
    with pytest.raises(ThawError, match=r"gradient is not finite in epoch 1, step 1: .* lower lr"):
        phase.fit(tmp_path, model, sources, phase.config(batch_size=phase.TRAIN))
    assert phase.differing(before, dict(model.named_parameters())) == []


def test_values_that_are_not_finite_never_reach_a_checkpoint(
    tmp_path: Path, train: ImageSource, val: ImageSource
) -> None:
    last = int(shuffled(phase.TRAIN, phase.SEED, epoch=1)[-1])
    sources = poisoned(train, last, math.nan), val
    runtime = start(phase.launch(1), phase.resources(1e-9))
    with pytest.raises(ThawError, match=f"not finite in epoch 1, step {STEPS}"):
        phase.fit(tmp_path, phase.model(3, "train"), sources, runtime=runtime)
    found = Checkpoints(tmp_path / "checkpoints", "key").latest()
    assert found is not None
    assert found[1]["step"] == STEPS - 1
    assert all(bool(value.isfinite().all()) for value in found[0].values())


def test_validation_that_is_not_finite_is_an_error(
    tmp_path: Path, train: ImageSource, val: ImageSource
) -> None:
    with pytest.raises(ThawError, match="validation loss is nan after epoch 0"):
        phase.fit(tmp_path, phase.model(), (train, poisoned(val, 2, math.nan)))


# Interrupted and continued: nothing may differ from a training that was left alone.

EVERY_STEP, EVERY_EPOCH = 1e-9, 60.0


@pytest.fixture(autouse=True)
def _an_epoch_is_worth_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_WORTH_SAVING", 0.0)  # as if it had taken longer


class Training:
    """A training with every source of randomness: dropout, augmentation, batch statistics."""

    def __init__(
        self,
        folder: Path,
        policy: BatchNormPolicy,
        depth: int = 2,
        variant: phase.Variant = phase.PLAIN,
    ) -> None:
        self.train = phase.images(folder / "train", augmented=True)
        self.val = phase.images(folder / "val", phase.VAL)
        self.policy, self.depth, self.variant = policy, depth, variant

    def start(
        self,
        folder: Path,
        minutes: float,
        *,
        train_dies: int = 0,
        val_dies: int = 0,
        log: Callable[[EpochRow], None] = lambda _: None,
    ) -> Result:
        """Return the weights and history of a training that resumes from ``folder``, if it can."""
        torch.manual_seed(0)  # a new process does not go on where the last one was
        model = phase.model(self.depth, self.policy, dropout=0.5)
        sources = phase.Dying(self.train, train_dies), phase.Dying(self.val, val_dies)
        runtime = start(phase.launch(1), phase.resources(minutes))
        progress = phase.fit_variant(folder, model, sources, self.variant, runtime, log)
        return phase.state(model), progress.history


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    return Training(tmp_path_factory.mktemp("training"), "train")


@pytest.fixture(scope="module")
def undisturbed(training: Training, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return training.start(tmp_path_factory.mktemp("undisturbed"), EVERY_EPOCH)


def assert_same(result: Result, expected: Result) -> None:
    assert phase.differing(result[0], expected[0]) == []
    assert result[1] == expected[1]


@pytest.mark.parametrize("minutes", [EVERY_STEP, EVERY_EPOCH])
@pytest.mark.parametrize("at", range(1, 3 * STEPS + 1))
def test_killed_at_any_step_it_ends_in_the_same_bits(
    tmp_path: Path, training: Training, undisturbed: Result, at: int, minutes: float
) -> None:
    with pytest.raises(phase.Killed):
        training.start(tmp_path, minutes, train_dies=at)
    assert_same(training.start(tmp_path, minutes), undisturbed)


@pytest.mark.parametrize("minutes", [EVERY_STEP, EVERY_EPOCH])
@pytest.mark.parametrize("at", range(1, 5))
def test_killed_in_any_validation_it_ends_in_the_same_bits(
    tmp_path: Path, training: Training, undisturbed: Result, at: int, minutes: float
) -> None:
    with pytest.raises(phase.Killed):
        training.start(tmp_path, minutes, val_dies=at)
    assert_same(training.start(tmp_path, minutes), undisturbed)


def test_killed_again_and_again_it_ends_in_the_same_bits(
    tmp_path: Path, training: Training, undisturbed: Result
) -> None:
    kills = 0
    while True:
        try:
            result = training.start(tmp_path, EVERY_STEP, train_dies=2)
            break
        except phase.Killed:
            kills += 1
            assert kills < 3 * STEPS
    assert kills == 3 * STEPS - 1
    assert_same(result, undisturbed)


@pytest.mark.parametrize("policy", ["frozen", "fixed", "affine"])
@pytest.mark.parametrize("at", [4, 6, 13])
def test_a_killed_training_resumes_to_the_same_bits_under_each_batchnorm_policy(
    tmp_path: Path, policy: BatchNormPolicy, at: int
) -> None:
    training = Training(tmp_path / "data", policy)
    expected = training.start(tmp_path / "undisturbed", EVERY_EPOCH)
    with pytest.raises(phase.Killed):
        training.start(tmp_path / "killed", EVERY_STEP, train_dies=at)
    assert_same(training.start(tmp_path / "killed", EVERY_STEP), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", phase.VARIANTS)
def test_a_training_killed_in_any_epoch_resumes_to_the_same_bits_in_each_variant(
    tmp_path: Path, name: str
) -> None:
    training = Training(tmp_path / "data", "train", 3, phase.VARIANTS[name])
    expected = training.start(tmp_path / "undisturbed", EVERY_EPOCH)
    for at in phase.EACH_EPOCH[1:]:
        for minutes in (EVERY_STEP, EVERY_EPOCH):
            folder = tmp_path / f"{at}-{minutes}"
            with pytest.raises(phase.Killed):
                training.start(folder, minutes, train_dies=at)
            assert_same(training.start(folder, minutes), expected)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_new_head_that_starts_at_zero_resumes_to_the_same_bits(
    tmp_path: Path, train: ImageSource, val: ImageSource, optimizer: str
) -> None:
    def trained(folder: Path, dies: int = 0) -> Result:
        model = phase.model(0)
        for parameter in model.head.parameters():
            nn.init.zeros_(parameter)
        sources, settings = (phase.Dying(train, dies), val), phase.config(optimizer=optimizer)
        every_step = start(phase.launch(1), phase.resources(EVERY_STEP))
        progress = phase.fit(folder, model, sources, settings, runtime=every_step)
        return phase.state(model), progress.history

    expected = trained(tmp_path / "undisturbed")
    with pytest.raises(phase.Killed):
        trained(tmp_path / "killed", dies=7)
    assert_same(trained(tmp_path / "killed"), expected)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["frozen", "affine"])
def test_killed_while_blocks_thaw_under_another_policy_it_ends_in_the_same_bits(
    tmp_path: Path, policy: BatchNormPolicy
) -> None:
    training = Training(tmp_path / "data", policy, 3, phase.VARIANTS["gradual"])
    expected = training.start(tmp_path / "undisturbed", EVERY_EPOCH)
    for at in phase.EACH_EPOCH[1:]:
        with pytest.raises(phase.Killed):
            training.start(tmp_path / str(at), EVERY_STEP, train_dies=at)
        assert_same(training.start(tmp_path / str(at), EVERY_STEP), expected)


def test_a_damaged_checkpoint_costs_a_step_but_no_bit(
    tmp_path: Path, training: Training, undisturbed: Result
) -> None:
    with pytest.raises(phase.Killed):
        training.start(tmp_path, EVERY_STEP, train_dies=9)
    newest = max((tmp_path / "checkpoints" / "key").iterdir())
    newest.write_bytes(newest.read_bytes()[:1000])
    assert_same(training.start(tmp_path, EVERY_STEP), undisturbed)


def test_a_training_that_had_ended_is_not_taken_up_again(
    tmp_path: Path, training: Training, undisturbed: Result
) -> None:
    training.start(tmp_path, EVERY_EPOCH)
    assert_same(training.start(tmp_path, EVERY_EPOCH, train_dies=1, val_dies=1), undisturbed)


@pytest.mark.parametrize("at", [3, 8])
def test_the_rows_logged_over_all_starts_are_the_history(
    tmp_path: Path, training: Training, undisturbed: Result, at: int
) -> None:
    rows: list[EpochRow] = []
    with pytest.raises(phase.Killed):
        training.start(tmp_path, EVERY_STEP, train_dies=at, log=rows.append)
    training.start(tmp_path, EVERY_STEP, log=rows.append)
    assert rows == undisturbed[1]


# Two processes under gloo.


def ranks(factory: pytest.TempPathFactory, name: str) -> list[dict[str, Tensor]]:
    out = phase.two_ranks(factory)
    return [load_file(out / f"{name}-{rank}.safetensors") for rank in range(2)]


@pytest.mark.pipelines
@pytest.mark.parametrize("policy", ["frozen", "affine"])
def test_two_processes_train_to_the_weights_of_one(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    train: ImageSource,
    val: ImageSource,
    policy: BatchNormPolicy,
) -> None:
    model = phase.model(2, policy)
    losses = phase.losses(phase.fit(tmp_path, model, (train, val)).history)
    together = ranks(tmp_path_factory, f"fit-{policy}")[0]
    for name, value in phase.state(model).items():
        torch.testing.assert_close(together[name], value, rtol=1e-5, atol=1e-5, msg=name)
    for rank in ranks(tmp_path_factory, f"history-{policy}"):
        torch.testing.assert_close(rank["losses"], losses, rtol=1e-5, atol=1e-5)


@pytest.mark.pipelines
@pytest.mark.parametrize("name", phase.TOGETHER)
def test_two_processes_train_any_variant_to_the_weights_of_one(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    train: ImageSource,
    val: ImageSource,
    name: str,
) -> None:
    model = phase.model(3, "affine")
    progress = phase.fit_variant(tmp_path, model, (train, val), phase.VARIANTS[name])
    together = ranks(tmp_path_factory, f"fit-{name}")[0]
    for key, value in phase.state(model).items():
        torch.testing.assert_close(together[key], value, rtol=1e-4, atol=1e-4, msg=key)
    for rank in ranks(tmp_path_factory, f"history-{name}"):
        losses = phase.losses(progress.history)
        torch.testing.assert_close(rank["losses"], losses, rtol=1e-4, atol=1e-4)


@pytest.mark.pipelines
@pytest.mark.parametrize("name", [f"fit-{name}" for name in (*phase.POLICIES, *phase.TOGETHER)])
def test_two_processes_end_with_the_same_weights_and_buffers(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    first, second = ranks(tmp_path_factory, name)
    assert phase.differing(first, second) == []


@pytest.mark.pipelines
def test_two_processes_move_the_running_statistics_of_what_they_train(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    changed = phase.differing(
        phase.state(phase.model(2, "train")), ranks(tmp_path_factory, "fit-train")[0]
    )
    assert "blocks.2.1.running_mean" in changed
    assert "blocks.0.1.running_mean" not in changed


@pytest.mark.pipelines
@pytest.mark.parametrize(
    ("name", "at"),
    [("killed", at) for at in phase.KILLED_AT[1:]]
    + [("everything", at) for at in phase.EACH_EPOCH[1:]],
)
def test_two_processes_that_were_killed_end_in_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, name: str, at: int
) -> None:
    expected = ranks(tmp_path_factory, f"{name}-0")
    for rank, result in enumerate(ranks(tmp_path_factory, f"{name}-{at}")):
        assert phase.differing(result, expected[rank]) == []


# When the device is waited for.


def test_the_loss_is_read_once_in_an_interval_and_at_the_end_of_an_epoch(
    tmp_path: Path, train: ImageSource, val: ImageSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    read = EpochLoss.read

    def noted(self: EpochLoss, epoch: int) -> float:
        reads.append(epoch)
        return read(self, epoch)

    monkeypatch.setattr(EpochLoss, "read", noted)
    phase.fit(tmp_path / "seldom", phase.model(), (train, val))
    assert reads == [1, 2, 3]
    reads.clear()
    monkeypatch.setattr(loop, "READ_EVERY", 2)
    phase.fit(tmp_path / "often", phase.model(), (train, val))
    assert reads == [epoch for epoch in (1, 2, 3) for _ in range(STEPS // 2 + 1)]


@pytest.mark.parametrize("name", ["plain", "ema", "sgd", "lamb"])
def test_between_two_batches_nothing_is_read_from_a_device(
    name: str,
    tmp_path: Path,
    train: ImageSource,
    val: ImageSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[int] = []

    def watched(batches: Iterable[Batch], *_: Any, **__: Any) -> Iterator[Batch]:
        for batch in batches:
            with no_reading():
                yield batch  # and the loop takes a step
            steps.append(len(batch.inputs))

    monkeypatch.setattr(loop, "progress", watched)
    runtime = replace(tiny.runtime(), asynchronous=True)
    variant = phase.VARIANTS.get(name, phase.PLAIN)
    phase.fit_variant(tmp_path, phase.model(3, "train"), (train, val), variant, runtime)
    assert len(steps) == 3 * STEPS

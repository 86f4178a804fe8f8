from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pytest
import torch
from safetensors.torch import load_file

from tests import tiny
from tests.training import phase
from tests.training.greedy import greedy
from tests.training.test_learner import batch
from thaw.training import compilation, loop, memory_fit, trainable_state, trained_network
from thaw.training import step_choices as module
from thaw.training.checkpoints import Checkpoints
from thaw.training.learner import Learner
from thaw.training.observer import Observer
from thaw.training.out_of_memory import MemoryShortageError
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.rehearsal import Rehearsal
from thaw.training.setup import TrainingSetup
from thaw.training.step_choices import StepChoices, StepChooser

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.data.loading import Source
    from thaw.literals import BatchNormPolicy
    from thaw.model.classifier import Classifier
    from thaw.training.runtime import Runtime

SETUP = TrainingSetup(phase.config(), phase.PLAIN.regularize, phase.SEED, lr_decay=0.5)


def chosen(path: Path, most: int, **changes: Any) -> tuple[StepChoices, Learner]:
    """Return the choices for a head that can train on ``most`` images, and the learner."""
    model = phase.model(2, "frozen")
    greedy(model.head, most)
    setup = replace(SETUP, **changes)
    runtime = tiny.runtime()
    learner = Learner(runtime, model, batch(8).targets.numpy(), setup, 0)
    assert model.plan is not None
    state = trainable_state.state(model, model.plan)
    rehearsal = Rehearsal(runtime, model, learner, batch(8), trainable_state.copy(state))
    return StepChooser(runtime, setup, path, lambda: rehearsal, 1).apply(learner, 100), learner


def test_measured_choices_are_stored_and_used_again(tmp_path: Path) -> None:
    path = tmp_path / "choices" / "unfreeze.json"
    first, learner = chosen(path, 2, accumulate="auto")
    assert first == StepChoices(parts=4)
    assert (learner.parts, learner.network.piece_size) == (4, 2)
    again, learner = chosen(path, 8, accumulate="auto")  # all of it would fit
    assert again == first
    assert (learner.parts, learner.network.piece_size) == (4, 2)


@pytest.mark.parametrize("changed", [{"device": "NVIDIA H100"}, {"processes": 2}])
def test_step_choices_of_another_device_or_number_of_processes_are_measured_again(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    path = tmp_path / "choices.json"
    chosen(path, 2, accumulate="auto")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    assert chosen(path, 4, accumulate="auto")[0] == StepChoices(parts=2)


@pytest.mark.parametrize(
    "content",
    ["", "[", "[]", "null", "{}", '{"device": "cpu", "processes": 1}',
     '{"device": "cpu", "processes": 1, "parts": null, "compiled": false}'],
)  # fmt: skip
def test_a_damaged_file_of_choices_is_measured_again(tmp_path: Path, content: str) -> None:
    path = tmp_path / "choices.json"
    path.write_text(content)
    assert chosen(path, 4, accumulate="auto")[0] == StepChoices(parts=2)
    assert json.loads(path.read_text())["parts"] == 2


def test_nothing_is_measured_for_given_values(tmp_path: Path) -> None:
    path = tmp_path / "choices.json"
    found, learner = chosen(path, 0, accumulate=4)
    assert found == StepChoices(parts=4)
    assert learner.network.piece_size == 2
    assert not path.exists()


def test_memory_that_is_exhausted_before_the_compiler_runs_is_explained(tmp_path: Path) -> None:
    expected = (
        r"out of memory before the first step: 8 images .*, 4 do: set launch\.accumulate to 2"
    )
    with pytest.raises(MemoryShortageError, match=expected):
        chosen(tmp_path / "choices.json", 4, compile="on")


@pytest.mark.parametrize("compiled", [True, False])
def test_a_stored_choice_of_the_compiler_is_used_again(
    compiled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "choices.json"
    monkeypatch.setattr(trained_network, "compiled", lambda network: network)
    monkeypatch.setattr(compilation, "decide", lambda *_: compiled)
    assert chosen(path, 8, compile="on")[0] == StepChoices(1, compiled)
    monkeypatch.delattr(compilation, "decide")  # nothing is measured again
    found, learner = chosen(path, 8, compile="on")
    assert found == StepChoices(1, compiled)
    assert learner.network.is_compiled is compiled


@pytest.mark.parametrize("wanted", ["auto", "on"])
def test_a_network_with_shared_statistics_is_not_compiled(
    wanted: Literal["auto", "on"],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts: list[int] = []

    def is_synchronised(*given: Any) -> bool:
        parts.append(given[-1])
        return True

    monkeypatch.setattr(module, "is_synchronised", is_synchronised)
    monkeypatch.delattr(compilation, "decide")
    found, learner = chosen(tmp_path / "choices.json", 4, accumulate="auto", compile=wanted)
    assert found == StepChoices(2, compiled=False)
    assert parts == [2]
    assert not learner.network.is_compiled
    said = capsys.readouterr().err
    assert ("launch.compile: off: GPUs with so few images" in said) is (wanted == "on")


def trained(
    folder: Path,
    sources: tuple[Source, Source],
    model: Classifier,
    checkpoint_minutes: float = 60.0,
    **changes: Any,
) -> dict[str, Tensor]:
    """Return the weights after a training, with checkpoints and choices in ``folder``."""
    observer = Observer(Checkpoints(folder / "checkpoints", "key"), choices=folder / "choices.json")
    inputs = PhaseInputs(*sources, 0)
    runtime = replace(tiny.runtime(), checkpoint_seconds=60 * checkpoint_minutes)
    loop.fit(runtime, model, inputs, replace(SETUP, **changes), observer)
    return phase.state(model)


def data(folder: Path) -> tuple[Source, Source]:
    return phase.images(folder / "train"), phase.images(folder / "val", phase.VAL)


@pytest.mark.parametrize("policy", ["frozen", "fixed", "affine"])
@pytest.mark.parametrize("parts", [2, 3, 8])
def test_accumulated_gradients_train_like_whole_batches(
    tmp_path: Path, policy: BatchNormPolicy, parts: int
) -> None:
    sources = data(tmp_path)
    whole = trained(tmp_path / "whole", sources, phase.model(2, policy))
    found = trained(tmp_path / "parts", sources, phase.model(2, policy), accumulate=parts)
    for name, value in whole.items():
        assert found[name].float().sub(value.float()).abs().max() < 2e-3, name


def test_statistics_of_batches_move_once_per_step(tmp_path: Path) -> None:
    sources = data(tmp_path)
    still = phase.config(lr=1e-12)
    models = [
        trained(tmp_path / str(parts), sources, phase.model(2, "train"), settings=still,
                accumulate=parts)
        for parts in (1, 2)
    ]  # fmt: skip
    for name in ("blocks.1.1.running_mean", "blocks.2.1.running_var"):
        change = (models[0][name] - models[1][name]).abs().max()
        assert change < 0.05 * models[0][name].abs().max(), name


@pytest.mark.slow
def test_a_killed_training_continues_with_the_pieces_that_it_began_with(tmp_path: Path) -> None:
    train, val = data(tmp_path)

    def model(most: int) -> Classifier:
        made = phase.model(2, "frozen", dropout=0.5)
        greedy(made.head, most)
        return made

    undisturbed = trained(tmp_path / "a", (train, val), model(2), accumulate="auto")
    folder = tmp_path / "b"
    dying = phase.Dying(train, 9)
    with pytest.raises(phase.Killed):
        trained(folder, (dying, val), model(2), checkpoint_minutes=1e-9, accumulate="auto")
    resumed = trained(folder, (train, val), model(8), accumulate="auto")
    assert phase.differing(undisturbed, resumed) == []


def test_a_training_of_fewer_images_than_a_batch_is_divided_as_it_was_tried(tmp_path: Path) -> None:
    sources = phase.images(tmp_path / "train", 6), phase.images(tmp_path / "val", phase.VAL)
    model = phase.model(2, "frozen")
    greedy(model.head, 1)
    trained(tmp_path, sources, model, accumulate="auto")  # a full batch has 8 images
    assert json.loads((tmp_path / "choices.json").read_text())["parts"] == phase.BATCH


def test_exhausted_memory_keeps_the_checkpoint_and_names_what_fits(tmp_path: Path) -> None:
    train, val = data(tmp_path)
    folder = tmp_path / "b"
    undisturbed = trained(tmp_path / "a", (train, val), phase.model(2, "frozen"))
    model = phase.model(2, "frozen")
    steps = iter(range(100))

    def fill_up(*_: Any) -> None:
        if model.head.training and next(steps) == 6:
            greedy(model.head, 4)

    model.head.register_forward_pre_hook(fill_up)
    with pytest.raises(MemoryShortageError, match=r"out of memory in epoch 2, step .*4 do: set"):
        trained(folder, (train, val), model, checkpoint_minutes=1e-9)
    assert Checkpoints(folder / "checkpoints", "key").latest() is not None
    resumed = trained(folder, (train, val), phase.model(2, "frozen"))
    assert phase.differing(undisturbed, resumed) == []


def test_memory_that_is_exhausted_while_a_batch_is_prepared_is_explained_as_well(
    tmp_path: Path,
) -> None:
    class Full(phase.Dying):
        def read(self, places: NDArray[np.int64]) -> Tensor:
            try:
                return super().read(places)
            except phase.Killed:
                raise torch.OutOfMemoryError("CUDA out of memory.") from None

    train, val = data(tmp_path)
    with pytest.raises(MemoryShortageError, match=r"out of memory in epoch 1, step 3: 8 images"):
        trained(tmp_path / "a", (Full(train, 3), val), phase.model(2, "frozen"))


@pytest.mark.pipelines
def test_two_processes_agree_on_the_pieces_that_fit_in_both(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    out = phase.two_ranks(tmp_path_factory)
    parts = [int(load_file(out / f"parts-{rank}.safetensors")["parts"]) for rank in range(2)]
    assert parts == [4, 4]  # one image at a time: what the second process can hold


@pytest.mark.parametrize("is_deterministic", [True, False])
def test_on_a_device_backward_passes_are_strict_where_the_network_allows_it(
    is_deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain: list[bool] = []
    monkeypatch.setattr(module, "use_plain_attention", lambda: plain.append(True))
    monkeypatch.setattr(Rehearsal, "is_deterministic", lambda _: is_deterministic)
    model = phase.model(2, "frozen")
    runtime = replace(tiny.runtime(), asynchronous=True)
    learner = Learner(runtime, model, batch(8).targets.numpy(), SETUP, 0)
    rehearsal = Rehearsal(runtime, model, learner, batch(8), {})
    StepChooser(runtime, SETUP, None, lambda: rehearsal, 1).apply(learner, 100)
    assert learner.step.is_strict is is_deterministic
    assert plain == ([] if is_deterministic else [True])


@pytest.mark.parametrize("parts", ["auto", 2])
def test_the_kind_of_attention_is_settled_before_anything_is_measured_or_compiled(
    parts: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []
    tried: list[int] = []

    def is_deterministic(rehearsal: Rehearsal) -> bool:
        done.append("tried")
        tried.append(rehearsal.learner.network.piece_size)
        return False

    def fewest_parts(_: Rehearsal) -> int:
        done.append("measured")
        return 1

    def decide(_: Any, rehearsal: Rehearsal, __: int) -> bool:
        done.append("compiled")
        assert rehearsal.learner.parts == (1 if parts == "auto" else parts)
        return False

    monkeypatch.setattr(Rehearsal, "is_deterministic", is_deterministic)
    monkeypatch.setattr(module, "use_plain_attention", lambda: done.append("plain"))
    monkeypatch.setattr(memory_fit, "fewest_parts", fewest_parts)
    monkeypatch.setattr(compilation, "decide", decide)
    monkeypatch.setattr(tiny, "runtime", _asynchronous(tiny.runtime()))
    first, _ = chosen(tmp_path / "choices.json", 8, accumulate=parts, compile="on")
    measured = ["measured"] if parts == "auto" else []
    assert done == ["tried", "plain", *measured, "compiled"]
    assert chosen(tmp_path / "choices.json", 8, accumulate=parts, compile="on")[0] == first
    assert done[-2:] == ["tried", "plain"]
    assert tried == ([1, 1] if parts == "auto" else [4, 4])


def _asynchronous(runtime: Runtime) -> Callable[[], Runtime]:
    return lambda: replace(runtime, asynchronous=True)


@pytest.mark.slow
def test_on_a_cpu_nothing_is_tried_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(_: Rehearsal) -> bool:
        raise AssertionError("a CPU is deterministic")

    monkeypatch.setattr(Rehearsal, "is_deterministic", tried)
    model = phase.model(2, "frozen")
    runtime = tiny.runtime()
    learner = Learner(runtime, model, batch(8).targets.numpy(), SETUP, 0)
    rehearsal = Rehearsal(runtime, model, learner, batch(8), {})
    StepChooser(runtime, SETUP, None, lambda: rehearsal, 1).apply(learner, 100)
    assert not learner.step.is_strict

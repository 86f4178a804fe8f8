"""Trainings on a GPU: their losses, their bits after a kill, and no waiting within a step."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.golden import cases, stages
from tests.test_device_path import killed_at
from tests.training import phase
from tests.training.greedy import greedy
from tests.training.test_learner import batch
from thaw.training import graph_trial, loop, memory_fit, step_choices
from thaw.training.checkpoints import Checkpoints
from thaw.training.learner import Learner
from thaw.training.observer import Observer
from thaw.training.out_of_memory import is_out_of_memory
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.precision import Precision, use_precision
from thaw.training.runtime import logits
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from thaw.data.loading import Source
    from thaw.model.classifier import Classifier
    from thaw.training.runtime import Runtime

pytestmark = pytest.mark.gpu

EXPECTED = json.loads((Path(__file__).parent / "golden/trainings.json").read_text())["cases"]
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
# Relative and absolute tolerance of losses beside those of the CPU.
TOLERANCES = {"fp32": (0.05, 0.02), "tf32": (0.05, 0.02), "bf16": (0.1, 0.05), "fp16": (0.1, 0.05)}
# BatchNorm that normalises 8 images after each of all blocks moves by more than the rounding: on an
# H200, a validation loss of 0.12 became 0.16 in tf32, and 0.20 became 0.28 in bf16.
ALL_BLOCKS = (0.1, 0.15)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("gpu"))
        stages.make_project()
        yield


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["train-cached", "affine-augmented", "all-blocks-uncached"])
def test_a_training_on_a_gpu_has_the_losses_of_the_cpu(
    name: str, precision: str, project: None
) -> None:
    found = stages.run_in_process({**cases.CASES[name], "launch.precision": precision})
    relative, absolute = TOLERANCES[precision]
    if name.startswith("all-blocks") and precision != "fp32":
        relative, absolute = ALL_BLOCKS
    for stage in stages.TRAINING:
        for loss in ("train_loss", "val_loss"):
            expected = EXPECTED[name][stage][loss]
            close = pytest.approx(expected, rel=relative, abs=absolute)
            assert found[stage][loss] == close, stage


def runtime_in(precision: str) -> Runtime:
    """Return a runtime of one process in ``precision``."""
    found = tiny.runtime()
    use_precision(Precision(precision), found.device)
    return replace(found, precision=Precision(precision), checkpoint_seconds=1e-9)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lamb"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_step_does_not_wait_for_the_gpu(precision: str, optimizer: Any) -> None:
    runtime, model = runtime_in(precision), phase.model(3, "train")
    setup = TrainingSetup(phase.config(optimizer=optimizer), phase.PLAIN.regularize, phase.SEED)
    learner = Learner(runtime, model, np.arange(6) % 3, setup, 0)
    learner.network.train()
    given = batch()
    device = runtime.device
    moved = replace(
        given,
        inputs=given.inputs.to(device, memory_format=torch.channels_last),
        targets=given.targets.to(device),
        weights=given.weights.to(device),
    )
    learner.learn(moved, 1, 0, 0)
    try:
        torch.cuda.set_sync_debug_mode("error")
        for number in range(1, 5):
            loss = learner.learn(moved, 1, number, number)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    learner.step.raise_if_not_finite()
    assert float(loss) > 0


def trained(
    folder: Path,
    sources: tuple[Source, Source],
    precision: str,
    prepare: Callable[[Classifier], None] = lambda _: None,
    **changes: Any,
) -> dict[str, Tensor]:
    """Return the weights of a training on the GPU, with checkpoints in ``folder``."""
    setup = TrainingSetup(phase.config(), phase.PLAIN.regularize, phase.SEED, **changes)
    observer = Observer(Checkpoints(folder / "checkpoints", "key"), choices=folder / "choices.json")
    model = phase.model(3, "train", dropout=0.5)
    prepare(model)
    loop.fit(runtime_in(precision), model, PhaseInputs(*sources, 0), setup, observer)
    return phase.state(model)


@pytest.mark.parametrize(
    ("precision", "changes"),
    [
        *((precision, {}) for precision in PRECISIONS),
        *((precision, {"accumulate": 2}) for precision in PRECISIONS),
        ("fp32", {"compile": "on"}),
        ("bf16", {"compile": "on"}),
    ],
)
@pytest.mark.parametrize("at", [2, 9])
def test_a_killed_training_on_a_gpu_ends_at_the_same_bits(
    tmp_path: Path,
    precision: str,
    at: int,
    changes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = phase.images(tmp_path / "train", augmented=True)
    val = phase.images(tmp_path / "val", phase.VAL)
    undisturbed = trained(tmp_path / "a", (train, val), precision, **changes)
    with monkeypatch.context() as patch:
        # The source itself must die: one that wraps it would not be resized on the GPU.
        killed_at(at, patch)
        with pytest.raises(phase.Killed):
            trained(tmp_path / "b", (train, val), precision, **changes)
    resumed = trained(tmp_path / "b", (train, val), precision, **changes)
    if "compile" in changes:
        assert json.loads((tmp_path / "a/choices.json").read_text())["compiled"]
    assert not phase.differing(undisturbed, resumed)


def test_a_compiled_training_on_a_gpu_repeats_its_bits_near_the_eager_one(tmp_path: Path) -> None:
    sources = phase.images(tmp_path / "train"), phase.images(tmp_path / "val", phase.VAL)
    eager = trained(tmp_path / "eager", sources, "fp32")
    first, second = (
        trained(tmp_path / name, sources, "fp32", compile="on") for name in ("first", "second")
    )
    assert not phase.differing(first, second)
    assert json.loads((tmp_path / "first/choices.json").read_text())["compiled"]
    for name, value in eager.items():
        torch.testing.assert_close(first[name], value, rtol=0.01, atol=0.01, msg=name)


@pytest.mark.parametrize("compiler", ["off", "on"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_training_by_graphs_has_the_bits_of_one_without_them(
    tmp_path: Path, precision: str, compiler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_choices, "_WORTH_GRAPHS", 1)
    train = phase.images(tmp_path / "train", augmented=True)
    sources = train, phase.images(tmp_path / "val", phase.VAL)
    reasons: list[str] = []
    use = graph_trial.use_graphs

    def noted(*given: Any) -> str:
        reasons.append(use(*given))
        return reasons[-1]

    monkeypatch.setattr(graph_trial, "use_graphs", noted)
    plain = trained(tmp_path / "plain", sources, precision, compile=compiler)
    assert not reasons
    graphed = trained(tmp_path / "graphs", sources, precision, graphs=True, compile=compiler)
    assert reasons == [""]
    assert not phase.differing(plain, graphed)


def test_the_error_of_a_full_gpu_is_known() -> None:
    with pytest.raises(torch.OutOfMemoryError) as raised:
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
    assert is_out_of_memory(raised.value)


def test_pieces_are_measured_on_a_gpu_and_used_again(tmp_path: Path) -> None:
    sources = phase.images(tmp_path / "train"), phase.images(tmp_path / "val", phase.VAL)
    trained(tmp_path, sources, "fp32", accumulate="auto")
    content = json.loads((tmp_path / "choices.json").read_text())
    assert content["parts"] == 1
    assert content["device"] == torch.cuda.get_device_name()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_killed_training_in_measured_parts_on_a_gpu_ends_at_the_same_bits(
    tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_fit, "SMALL_BATCH", 1)  # parts of the few images of this test
    train = phase.images(tmp_path / "train", augmented=True)
    sources = train, phase.images(tmp_path / "val", phase.VAL)

    def has_memory_for_4(model: Classifier) -> None:
        greedy(model.head, 4)

    undisturbed = trained(tmp_path / "a", sources, precision, has_memory_for_4, accumulate="auto")
    assert json.loads((tmp_path / "a/choices.json").read_text())["parts"] == 2
    with monkeypatch.context() as patch:
        killed_at(11, patch)
        with pytest.raises(phase.Killed):
            trained(tmp_path / "b", sources, precision, has_memory_for_4, accumulate="auto")
    resumed = trained(tmp_path / "b", sources, precision, accumulate="auto")  # all would fit
    assert not phase.differing(undisturbed, resumed)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_validation_on_a_gpu_takes_as_many_images_at_once_as_fit(
    tmp_path: Path, precision: str
) -> None:
    val = phase.images(tmp_path / "val", 150)
    model = phase.model(3, "train")
    expected = logits(runtime_in(precision), model, val, "validation")
    greedy(model.head, 40, with_gradients=False)
    found = logits(runtime_in(precision), model, val, "validation")
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)

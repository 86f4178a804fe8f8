from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests import tiny
from tests.training import phase
from thaw.errors import ThawError
from thaw.training.runtime import forward_all, logits, start

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from thaw.data.loading import ImageSource
    from thaw.model.classifier import Classifier


def directly(model: Classifier, source: ImageSource) -> Tensor:
    """Compute the logits of all images in one batch, without a runtime."""
    places = np.arange(len(source))
    with torch.no_grad():
        scores: Tensor = model.eval()(source.finish(source.read(places), places, epoch=None))
    return scores


def test_a_process_that_is_alone_but_should_be_two_refuses_to_train() -> None:
    with pytest.raises(ThawError, match=r"launch\.processes is 2, but 1 run.*dvc repro"):
        start(phase.launch(processes=2), phase.resources())


def test_a_process_never_takes_attention_that_is_not_deterministic() -> None:
    before = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_cudnn_sdp(enabled=True)
    try:
        start(phase.launch(processes=1), phase.resources())
        assert not torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.mark.pipelines
def test_two_processes_that_should_be_one_refuse_to_train(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for rank in range(2):
        refusal = phase.two_ranks(tmp_path_factory) / f"refusal-{rank}.txt"
        assert "launch.processes is 1, but 2 run" in refusal.read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_half_precision_without_a_gpu_is_refused() -> None:
    launch = phase.launch(processes=1).model_copy(update={"precision": "fp16"})
    with pytest.raises(ThawError, match=r"launch\.precision: fp16 needs a GPU.*bf16"):
        start(launch, phase.resources())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_single_process_computes_on_the_device_that_was_chosen(name: str) -> None:
    # A process of its own: Accelerate takes one device in the life of a process.
    code = f"""
import torch
from tests.training import phase
from thaw.system.devices import choose_device
from thaw.training.runtime import start
device = choose_device({name!r})
runtime = start(phase.launch(processes=1), phase.resources(), device)
print(torch.zeros(1, device=runtime.device).device == device)
"""
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert found.stdout == "True\n"


def test_a_gpu_that_accelerate_does_not_number_is_the_current_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Some functions of torch, as that which limits the memory, refuse the device "cuda".
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    for given, expected in (("cuda", "cuda:3"), ("cuda:1", "cuda:1"), ("cpu:0", "cpu")):
        accelerator: Any = SimpleNamespace(device=torch.device(given))
        runtime = replace(tiny.runtime(), accelerator=accelerator)
        assert runtime.device == torch.device(expected)


def test_the_precision_is_thaws_whatever_accelerates_variable_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    runtime = tiny.runtime()
    assert runtime.accelerator.mixed_precision == "no"
    assert runtime.precision.name == "fp32"


def test_the_one_process_is_the_main_one_and_adds_up_alone() -> None:
    runtime = tiny.runtime()
    assert runtime.is_main
    assert (runtime.rank, runtime.world) == (0, 1)
    assert runtime.checkpoint_seconds == 3600
    assert torch.equal(runtime.sum(torch.tensor([1.0, 2.0])), torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize("count", [1, 33, 128, 129, 300])
def test_every_item_is_scored_once_and_in_its_place(tmp_path: Path, count: int) -> None:
    model = tiny.classifier()
    source = phase.images(tmp_path / "data", count)
    parts = [places for places, _ in forward_all(tiny.runtime(), model, source, "")]
    assert np.concatenate(parts).tolist() == list(range(count))
    scored = logits(tiny.runtime(), model, source, "")
    torch.testing.assert_close(scored, directly(model, source), rtol=1e-5, atol=1e-6)


def test_nothing_to_score_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to score"):
        logits(tiny.runtime(), tiny.classifier(), phase.images(tmp_path / "data", 0), "")


def test_a_batch_that_does_not_fit_into_memory_is_an_error_in_one_line(tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    model = tiny.classifier()
    model.head.register_forward_pre_hook(fail)
    expected = r"^out of memory \(validation\): 1 image does not fit into the memory of cpu"
    with pytest.raises(ThawError, match=expected):
        logits(tiny.runtime(), model, phase.images(tmp_path / "data"), "validation")


def test_scoring_a_network_in_training_mode_neither_drops_nor_moves_statistics(
    tmp_path: Path,
) -> None:
    source = phase.images(tmp_path / "data")
    model = phase.model(3, "train", dropout=0.5).train()
    before = phase.state(model)
    scored = logits(tiny.runtime(), model, source, "")
    assert phase.differing(before, phase.state(model)) == []
    torch.testing.assert_close(scored, directly(model, source), rtol=1e-5, atol=1e-6)


def test_scoring_does_not_augment_unless_in_an_epoch(tmp_path: Path) -> None:
    model = tiny.classifier()
    plain = logits(tiny.runtime(), model, phase.images(tmp_path / "plain"), "")
    augmented = phase.images(tmp_path / "augmented", augmented=True)
    assert torch.equal(logits(tiny.runtime(), model, augmented, ""), plain)
    first, second = (logits(tiny.runtime(), model, augmented, "", epoch=e) for e in (1, 2))
    assert not torch.isclose(first, plain).all(dim=1).any()
    assert not torch.equal(first, second)
    places = np.arange(len(augmented))
    with torch.no_grad():
        expected = model(augmented.finish(augmented.read(places), places, epoch=2))
    torch.testing.assert_close(second, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.pipelines
@pytest.mark.parametrize("count", phase.SCORED)
def test_two_processes_score_exactly_what_there_is(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, count: int
) -> None:
    out = phase.two_ranks(tmp_path_factory)
    first, second = (load_file(out / f"scored-{count}-{rank}.safetensors") for rank in range(2))
    scored = sorted([*first["places"].tolist(), *second["places"].tolist()])
    assert scored == list(range(count))
    assert torch.equal(first["logits"], second["logits"])
    alone = directly(tiny.classifier(), phase.images(tmp_path / "data", count))
    torch.testing.assert_close(first["logits"], alone, rtol=1e-5, atol=1e-6)

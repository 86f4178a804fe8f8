from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests import tf32, tiny
from tests.float32_settings import newer, older, restored
from tests.training import phase
from thaw.errors import ThawError
from thaw.model.float32 import strict_float32
from thaw.model.frozen_part import FrozenPart
from thaw.training.activation_cache import Cache
from thaw.training.cached_activations import CachedActivations
from thaw.training.learner import Learner
from thaw.training.precision import Precision, choose_precision, use_precision
from thaw.training.runtime import logits
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from thaw.data.loading import ImageSource
    from thaw.training.runtime import Runtime

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """The settings as torch comes with them."""
    with restored():
        yield


def pretend(monkeypatch: pytest.MonkeyPatch, *, recent: bool) -> None:
    """Let a GPU be there that computes in bfloat16 and TF32, or not."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: recent)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")


@pytest.mark.parametrize(
    ("wanted", "device", "recent", "chosen"),
    [
        ("auto", CPU, True, "fp32"),
        ("fp32", CPU, True, "fp32"),
        ("bf16", CPU, True, "bf16"),
        ("auto", GPU, True, "bf16"),
        ("auto", GPU, False, "fp32"),
        ("fp32", GPU, True, "fp32"),
        ("tf32", GPU, True, "tf32"),
        ("fp16", GPU, False, "fp16"),
    ],
)
def test_the_precision_suits_the_device(
    wanted: Any, device: torch.device, recent: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, recent=recent)
    assert choose_precision(wanted, device) == Precision(chosen)


@pytest.mark.parametrize(
    ("wanted", "device", "recent", "reason"),
    [
        ("tf32", CPU, True, "tf32 needs a GPU"),
        ("fp16", CPU, True, "fp16 needs a GPU"),
        ("tf32", GPU, False, "Tesla T4 does not compute in tf32"),
        ("bf16", GPU, False, "Tesla T4 does not compute in bf16"),
    ],
)
def test_a_precision_that_the_device_does_not_have_is_refused(
    wanted: Any, device: torch.device, recent: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, recent=recent)
    with pytest.raises(ThawError, match=rf"launch\.precision: {reason}"):
        choose_precision(wanted, device)


@pytest.mark.parametrize(("name", "rounds"), [("fp32", False), ("tf32", True), ("bf16", True)])
def test_training_on_a_gpu_rounds_to_tf32_only_if_asked_for(name: str, rounds: bool) -> None:
    use_precision(Precision(name), GPU)
    assert older() == [rounds, rounds, "high" if rounds else "highest"]
    with strict_float32():
        assert older() == [False, False, "highest"]
    assert older() == [rounds, rounds, "high" if rounds else "highest"]


def test_on_a_cpu_no_setting_changes() -> None:
    before = older(), newer()
    use_precision(Precision("bf16"), CPU)
    assert (older(), newer()) == before


@pytest.fixture
def source(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "data")


def scores(source: ImageSource) -> Tensor:
    """Compute the logits in float32, without mixed precision."""
    return logits(tiny.runtime(), tiny.classifier(), source, "")


def test_scores_under_bf16_are_those_without_it_and_only_inside(source: ImageSource) -> None:
    expected = scores(source)
    with tiny.bf16_runtime() as runtime:
        assert not torch.equal(logits(runtime, tiny.classifier(), source, ""), expected)
        with strict_float32():
            assert torch.equal(logits(runtime, tiny.classifier(), source, ""), expected)


def test_a_network_that_accelerate_prepared_is_scored_in_float32_too(source: ImageSource) -> None:
    expected = scores(source)
    with tiny.bf16_runtime() as runtime:
        classifier = phase.model(depth=3)
        classifier.load_state_dict(tiny.classifier().state_dict())
        setup = TrainingSetup(phase.config(), phase.PLAIN.regularize, 0)
        learner = Learner(runtime, classifier, source.targets, setup, 0)
        with strict_float32():
            assert torch.equal(logits(runtime, learner.network.whole, source, ""), expected)


def test_in_simulated_tf32_cached_and_uncached_scores_agree(
    tmp_path: Path, source: ImageSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = scores(source)
    tf32.simulate(monkeypatch)
    assert not torch.allclose(scores(source), expected, rtol=1e-5, atol=1e-5)
    runtime, classifier = tiny.runtime(), tiny.classifier()
    with strict_float32():
        cache = Cache(tmp_path / "cache", 1e9, "data")
        below = CachedActivations(runtime, cache).of(
            FrozenPart(classifier.part(0, 2)), source, "train"
        )
        for given, network in ((source, classifier), (below, classifier.part(2))):
            found = logits(runtime, network, given, "")
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_activations_in_float32_are_kept_apart_from_those_in_bf16(
    tmp_path: Path, source: ImageSource
) -> None:
    places = np.arange(len(source))

    def read(runtime: Runtime, folder: str) -> Tensor:
        cache = Cache(tmp_path / folder, 1e9, "data")
        frozen = FrozenPart(tiny.classifier().part(0, 2))
        return CachedActivations(runtime, cache).of(frozen, source, "train").read(places)

    expected = read(tiny.runtime(), "plain")
    with tiny.bf16_runtime() as runtime:
        half = read(runtime, "mixed")
        with strict_float32():
            assert torch.equal(read(runtime, "mixed"), expected)
        assert torch.equal(read(runtime, "mixed"), half)
        assert not torch.equal(half, expected)

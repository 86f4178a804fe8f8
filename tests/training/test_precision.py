from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import backends, nn

from tests import tf32, tiny
from tests.training import phase
from thaw.errors import ThawError
from thaw.model.frozen_part import FrozenPart
from thaw.training.activation_cache import Cache
from thaw.training.cached_activations import CachedActivations
from thaw.training.learner import Learner
from thaw.training.precision import (
    Precision,
    choose_precision,
    is_strict,
    strict_float32,
    use_precision,
)
from thaw.training.runtime import logits
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor

    from thaw.data.loading import ImageSource
    from thaw.training.runtime import Runtime

_BACKENDS: Any = backends
STRICT = {"none", "ieee"}


def told(read: Callable[[], Any]) -> Any:
    """Return the setting, or "refused" if torch raises because both interfaces were used."""
    try:
        return read()
    except RuntimeError:
        return "refused"


def older() -> list[Any]:
    """Return the settings by torch's older interface."""
    return [
        told(lambda: backends.cudnn.allow_tf32),
        told(lambda: backends.cuda.matmul.allow_tf32),
        told(torch.get_float32_matmul_precision),
    ]


def newer() -> list[str]:
    """Return the settings by torch's newer interface."""
    cudnn, mkldnn = _BACKENDS.cudnn, _BACKENDS.mkldnn
    own = (cudnn.conv, cudnn.rnn, _BACKENDS.cuda.matmul, mkldnn.conv, mkldnn.rnn, mkldnn.matmul)
    return [one.fp32_precision for one in (_BACKENDS, cudnn, mkldnn, *own)]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The settings as torch comes with them, before and after."""

    def reset() -> None:
        for setting in (_BACKENDS, _BACKENDS.cudnn, _BACKENDS.mkldnn):
            setting.fp32_precision = "none"
        for setting in (_BACKENDS.mkldnn.conv, _BACKENDS.mkldnn.rnn):
            setting.fp32_precision = "none"
        backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("highest")
        _BACKENDS.cuda.matmul.fp32_precision = _BACKENDS.mkldnn.matmul.fp32_precision = "none"

    reset()
    yield
    reset()


def change(setting: str) -> None:
    """Set the precision as a user may."""
    match setting:
        case "high" | "medium":
            torch.set_float32_matmul_precision(setting)
        case "older":
            backends.cudnn.allow_tf32 = False
            backends.cuda.matmul.allow_tf32 = True
        case "all":
            _BACKENDS.fp32_precision = "tf32"
        case "cudnn":
            _BACKENDS.cudnn.fp32_precision = "tf32"
        case "conv":
            _BACKENDS.cudnn.conv.fp32_precision = "ieee"
        case "mkldnn":
            _BACKENDS.mkldnn.conv.fp32_precision = "bf16"


CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


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


SETTINGS = ["default", "high", "medium", "older", "all", "cudnn", "conv", "mkldnn"]


@pytest.mark.parametrize("setting", SETTINGS)
def test_nothing_rounds_inside_and_all_is_as_before_after_an_exception(setting: str) -> None:
    change(setting)
    before = older(), newer()
    with suppress(KeyError), strict_float32():
        assert older() == [False, False, "highest"]
        assert set(newer()) <= STRICT
        raise KeyError
    assert (older(), newer()) == before


def test_the_inner_one_of_two_restores_nothing() -> None:
    with strict_float32():
        with strict_float32():
            assert is_strict()
        assert is_strict()
        assert older() == [False, False, "highest"]
    assert not is_strict()
    assert older() == [True, False, "highest"]


def test_of_two_threads_the_last_one_restores() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with strict_float32():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with strict_float32():
        thread.start()
        assert inside.wait(10)
    assert not is_strict()  # this thread
    assert backends.cudnn.allow_tf32 is False  # the other one still computes
    leave.set()
    thread.join()
    assert backends.cudnn.allow_tf32 is True


def test_autocast_is_off_inside_and_back_after_an_exception() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        with suppress(KeyError), strict_float32():
            assert not torch.is_autocast_enabled("cpu")
            assert not torch.is_autocast_enabled("cuda")
            raise KeyError
        assert torch.is_autocast_enabled("cpu")


def test_as_a_decorator_it_covers_every_call() -> None:
    @strict_float32()
    def seen() -> bool:
        return bool(backends.cudnn.allow_tf32) or not is_strict()

    assert [seen(), seen()] == [False, False]
    assert not is_strict()


def test_on_a_cpu_it_changes_no_bit() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Flatten(), nn.Linear(16 * 14 * 14, 10))
    inputs = torch.randn(32, 3, 16, 16)
    plain = network(inputs)
    with strict_float32():
        assert torch.equal(network(inputs), plain)


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

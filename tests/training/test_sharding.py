from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training import phase, sharded
from tests.training.phase import Variant
from thaw.system.launching import accelerate_command

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from thaw.data.loading import ImageSource
    from thaw.literals import BatchNormPolicy
    from thaw.model.classifier import Classifier

pytestmark = pytest.mark.pipelines


def cases(names: Iterable[str], sample: Iterable[str]) -> list[Any]:
    """Return ``names`` as parameters; those outside of ``sample`` belong to `make soak`."""
    return [
        name if name in sample else pytest.param(name, marks=pytest.mark.soak) for name in names
    ]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Return the folder of the results of two processes, which train sharded over gloo."""
    which = ["all"] if "soak" in request.config.option.markexpr else []
    found = tmp_path_factory.mktemp("sharded")
    command = accelerate_command("tests.training.sharded", sharded.LAUNCH, threads=1)
    done = subprocess.run(
        [*command, str(found), *which],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageSource, ImageSource]:
    folder = tmp_path_factory.mktemp("data")
    return phase.images(folder / "train"), phase.images(folder / "val", phase.VAL)


def ranks(out: Path, name: str) -> list[dict[str, Tensor]]:
    return [load_file(out / f"{name}-{rank}.safetensors") for rank in range(2)]


def assert_like_one_process(
    out: Path,
    name: str,
    classifier: Classifier,
    data: tuple[ImageSource, ImageSource],
    tmp_path: Path,
    variant: Variant = phase.PLAIN,
    tolerance: float = 1e-5,
) -> None:
    """Train in this process; compare weights and losses with those of the sharded training."""
    progress = phase.fit_variant(tmp_path, classifier, data, variant)
    close: dict[str, Any] = {"rtol": tolerance, "atol": tolerance}
    for found in ranks(out, f"fit-{name}"):
        for key, value in phase.state(classifier).items():
            torch.testing.assert_close(found[key], value, msg=key, **close)
    for found in ranks(out, f"history-{name}"):
        torch.testing.assert_close(found["losses"], phase.losses(progress.history), **close)


@pytest.mark.parametrize(
    "policy", cases([p for p in phase.POLICIES if p != "train"], sharded.POLICIES)
)
def test_sharded_training_gives_the_weights_of_one_process(
    policy: BatchNormPolicy,
    out: Path,
    data: tuple[ImageSource, ImageSource],
    tmp_path: Path,
) -> None:
    assert_like_one_process(out, policy, phase.model(batch_norm=policy), data, tmp_path)


@pytest.mark.parametrize("name", cases(sharded.VARIANTS, sharded.SAMPLE))
def test_sharded_training_gives_the_weights_of_one_process_in_every_variant(
    name: str, out: Path, data: tuple[ImageSource, ImageSource], tmp_path: Path
) -> None:
    model, variant = phase.model(3, "affine"), sharded.VARIANTS[name]
    assert_like_one_process(out, name, model, data, tmp_path, variant, tolerance=1e-4)


@pytest.mark.parametrize("optimizer", cases(["adamw", "sgd", "lamb"], [sharded.OPTIMIZER]))
def test_deferred_steps_of_sharded_training_give_the_weights_of_one_process(
    optimizer: str,
    out: Path,
    data: tuple[ImageSource, ImageSource],
    tmp_path: Path,
) -> None:
    model, variant = phase.model(3, "affine"), Variant(phase.config(optimizer=optimizer))
    name = f"deferred-{optimizer}"
    assert_like_one_process(out, name, model, data, tmp_path, variant, tolerance=1e-4)


def test_a_frozen_block_between_two_that_train_stays_as_it_is(
    out: Path, data: tuple[ImageSource, ImageSource], tmp_path: Path
) -> None:
    model = phase.model()
    phase.set_plan(model, sharded.BETWEEN)
    before = phase.state(model)
    assert_like_one_process(out, "between", model, data, tmp_path)
    changed = phase.differing(before, ranks(out, "fit-between")[0])
    assert not any(name.startswith("blocks.1.") for name in changed)
    assert "blocks.0.0.weight" in changed


def test_a_head_alone_is_trained_sharded(
    out: Path, data: tuple[ImageSource, ImageSource], tmp_path: Path
) -> None:
    assert_like_one_process(out, "head", phase.model(0), data, tmp_path)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sharded_training_in_16_bits_learns_like_that_in_float32(precision: str, out: Path) -> None:
    exact = "frozen" if precision == "bf16" else "deferred-adamw"
    for found, expected in zip(
        ranks(out, f"history-{precision}"), ranks(out, f"history-{exact}"), strict=True
    ):
        torch.testing.assert_close(found["losses"], expected["losses"], rtol=0.02, atol=0.02)
        assert not torch.equal(found["losses"], expected["losses"])


def test_both_processes_end_with_the_same_whole_model(out: Path) -> None:
    names = [path.name[: -len("-0.safetensors")] for path in out.glob("fit-*-0.safetensors")]
    assert len(names) == len(sharded.POLICIES) + len(sharded.SAMPLE) + 5
    for name in names:
        first, second = ranks(out, name)
        assert phase.differing(first, second) == [], name


def test_under_the_policy_train_the_running_statistics_move(out: Path) -> None:
    changed = phase.differing(phase.state(phase.model(2, "train")), ranks(out, "fit-train")[0])
    assert "blocks.2.1.running_mean" in changed
    assert "blocks.0.1.running_mean" not in changed


@pytest.mark.parametrize("name", cases(["killed", "killed-everything"], ["killed"]))
@pytest.mark.parametrize("at", sharded.KILLED_AT[1:])
def test_sharded_training_that_was_killed_ends_in_the_same_bits(
    name: str, at: int, out: Path
) -> None:
    for found, expected in zip(ranks(out, f"{name}-{at}"), ranks(out, f"{name}-0"), strict=True):
        assert phase.differing(found, expected) == []


def test_a_damaged_part_sends_all_processes_to_the_checkpoint_before(out: Path) -> None:
    for found, expected in zip(ranks(out, "lost"), ranks(out, "killed-0"), strict=True):
        assert phase.differing(found, expected) == []


def test_each_process_holds_half_of_the_weights_and_of_the_optimiser_state(out: Path) -> None:
    held = ranks(out, "held")
    total = {name: int(held[0][name] + held[1][name]) for name in held[0]}
    for name, parameter in phase.model(2).named_parameters():
        if not parameter.requires_grad:
            continue
        for part in ("", ".exp_avg", ".exp_avg_sq"):
            assert total[name + part] == parameter.numel(), name
        most = -(-parameter.shape[0] // 2) * parameter[0].numel()
        assert int(held[0][name]) == most, name


def test_one_process_is_refused(out: Path) -> None:
    for rank in range(2):
        text = (out / f"refusal-{rank}.txt").read_text()
        assert "launch.processes is 1, but 2 run" in text

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.advice import project as small
from tests.stages.small import KEPT
from thaw.advice.measured_advice import MeasuredAdvice
from thaw.advice.tournament.head_choice import HeadChoice
from thaw.advice.tournament.stage_choices import HeadMethod, write_head_choice
from thaw.advice.tournament.start_head import set_small_head
from thaw.advice.tournament.training_choice import TrainingChoice
from thaw.config.editing import write_values
from thaw.config.params import Params
from thaw.context import Phase, compute_inputs
from thaw.model import directory
from thaw.model.batchnorm import fold_blocks
from thaw.model.freeze_plan import last_blocks
from thaw.stages import unfreeze
from thaw.stages.final_training import fit_start, is_repeated, train_on_all
from thaw.system import project_paths
from thaw.training import trainable_state
from thaw.training.checkpoints import Checkpoints
from thaw.training.observer import Observer
from thaw.training.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from thaw.literals import BatchNormPolicy
    from thaw.model.classifier import Classifier

HEAD = HeadMethod("logistic", 0.01, is_compared=True)
EPOCHS = 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make(tmp_path_factory.mktemp("final_training"))


@pytest.fixture(autouse=True)
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the tiny project as the working directory."""
    torch.set_num_threads(1)
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    write_values({f"unfreeze.{key}": value for key, value in (("epochs", EPOCHS), ("depth", 2))})


@pytest.mark.parametrize(
    ("wanted", "is_compared", "epochs", "best", "fit", "expected"),
    [
        ("auto", True, 7, 7, "logistic", True),
        ("auto", True, 7, 3, "logistic", True),
        ("auto", True, 6, 1, "logistic", False),  # it stopped early
        ("auto", True, 7, 0, "logistic", False),  # it kept its start, or was dropped
        ("auto", False, 7, 7, "logistic", False),
        ("on", False, 7, 7, "svm", True),
        ("off", True, 7, 7, "logistic", False),
        ("on", True, 7, 7, "gradient", False),
    ],
)
def test_a_training_that_did_not_stop_early_is_repeated(
    wanted: str, is_compared: bool, epochs: int, best: int, fit: str, expected: bool
) -> None:
    settings = Params().unfreeze.model_copy(update={"refit": wanted, "epochs": 7})
    head = HeadMethod(fit, "auto", is_compared)  # type: ignore[arg-type]
    progress = Progress(epoch=epochs, best_epoch=best)
    assert is_repeated(settings, head, progress) == expected


def test_a_phase_without_epochs_is_not_repeated() -> None:
    settings = Params().unfreeze.model_copy(update={"refit": "on", "epochs": 0})
    assert not is_repeated(settings, HEAD, Progress())


def _phase(opened: small.Opened, policy: BatchNormPolicy, *, augmented: bool) -> Phase:
    params = opened.context.params
    plan = replace(last_blocks(2, small.BLOCKS), batch_norm=policy)
    augmentation = params.augment.fixed() if augmented else None
    return Phase(plan, params.unfreeze, opened.spec.preprocessing, augmentation)


def _weights(classifier: Classifier) -> dict[str, Tensor]:
    return trainable_state.copy(classifier.state_dict())


@pytest.mark.parametrize(("policy", "augmented"), [("frozen", False), ("affine", True)])
def test_the_images_of_both_splits_train_as_those_of_one_split_would(
    policy: BatchNormPolicy, augmented: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_values({"augment.flip": 0.5, "unfreeze.patience": 1})
    opened = small.open_model()
    phase = _phase(opened, policy, augmented=augmented)
    report = train_on_all(opened.context, opened.classifier, phase, Observer())
    # The same images under the name of the training split, in a context of their own.
    other = small.open_model()
    manifest = other.context.data.manifest
    ids = manifest.ids
    both = np.concatenate([ids("train"), ids("val")])
    monkeypatch.setattr(manifest, "ids", lambda split: both if split == "train" else ids(split))
    shutil.rmtree(project_paths.ACTIVATIONS, ignore_errors=True)
    settings = phase.settings.model_copy(update={"patience": EPOCHS})
    other.context.train(
        other.classifier, replace(phase, settings=settings, keeps_last=True), Observer()
    )
    assert report == {"refit": {"images": len(both), "epochs": EPOCHS}}
    expected = other.classifier.state_dict()
    for name, value in opened.classifier.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("policy", ["frozen", "affine"])
def test_a_share_of_the_weights_is_kept_where_the_first_training_kept_one(
    policy: BatchNormPolicy,
) -> None:
    opened = small.open_model()
    phase = _phase(opened, policy, augmented=False)
    train_on_all(opened.context, opened.classifier, phase, Observer(), share=0.25)
    start, end = small.open_model(), small.open_model()
    train_on_all(end.context, end.classifier, phase, Observer())
    if policy == "affine":
        fold_blocks(start.classifier.blocks, phase.plan.trainable)
    first, last = _weights(start.classifier), _weights(end.classifier)
    moved = 0
    for name, value in _weights(opened.classifier).items():
        if value.is_floating_point():
            assert torch.allclose(value, torch.lerp(first[name], last[name], 0.25)), name
            moved += not torch.equal(first[name], last[name])
    assert moved


@pytest.mark.parametrize("is_small", [False, True])
def test_the_head_at_the_start_is_fitted_to_the_images_of_both_splits(is_small: bool) -> None:
    opened = small.open_model()
    phase = _phase(opened, "frozen", augmented=False)
    # With random labels a head knows the validation images only if it was fitted to them.
    targets = opened.context.data.manifest.targets
    targets[:] = np.random.default_rng(0).permutation(targets)
    val = compute_inputs(opened.context, opened.classifier, phase).val
    losses = {}
    for known in (False, True):
        given = small.open_model().classifier
        if known:
            fit_start(opened.context, given, phase, HEAD, is_small=is_small)
        elif is_small:
            set_small_head(opened.context, given, phase.preprocessing)
        part = given.part(phase.plan.cut).eval()
        outputs = part(val.read(np.arange(len(val)))).detach()
        losses[known] = float(
            torch.nn.functional.cross_entropy(outputs, torch.from_numpy(val.targets))
        )
    assert losses[True] < losses[False]


def _chosen(monkeypatch: pytest.MonkeyPatch, policy: BatchNormPolicy = "frozen") -> TrainingChoice:
    """Let the stage train as a comparison of trainings has chosen, on trial; return the choice."""
    write_head_choice(HeadChoice({}, []), HEAD, project_paths.REPORTS / "warmup_head")
    chosen = {"depth": 7, "lr": 0.0001, "batch_norm": policy, "epochs": EPOCHS}
    choice = TrainingChoice("way", chosen, [])
    monkeypatch.setattr(unfreeze, "choose_training", lambda *_: choice)
    monkeypatch.setattr(unfreeze, "compare_with_head", lambda *_, **__: (True, KEPT))
    write_values({"unfreeze.depth": "auto", "augment.flip": 0.5, "augment.crop": 0.2})
    return choice


def _report() -> dict[str, Any]:
    path = project_paths.REPORTS / "unfreeze" / project_paths.REPORT
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_the_stage_writes_the_repeated_training_with_the_calibration_of_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _chosen(monkeypatch)
    found = {}
    for refit in ("off", "auto"):
        write_values({"unfreeze.refit": refit})
        unfreeze.main()
        found[refit] = _report(), directory.load(project_paths.MODELS / "unfreeze")
    (before, (first, spec)), (after, (again, spec_again)) = found["off"], found["auto"]
    assert before["best_epoch"] == after["best_epoch"] == EPOCHS
    assert "refit" not in before
    assert after["refit"] == {"images": 30, "epochs": EPOCHS}
    assert after["val_loss"] == before["val_loss"]
    assert spec_again.calibration == spec.calibration
    assert spec_again.trained == spec.trained
    weights = first.state_dict()
    assert any(not torch.equal(value, weights[name]) for name, value in again.state_dict().items())
    assert "repeated on all 30 training and validation images" in capsys.readouterr().err


def test_a_kill_in_the_repeated_training_leaves_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _chosen(monkeypatch)
    write_values({"resources.checkpoint_minutes": 1e-9})
    unfreeze.main()
    expected = (project_paths.MODELS / "unfreeze" / "model.safetensors").read_bytes()
    shutil.rmtree(project_paths.MODELS / "unfreeze")
    save, count = Checkpoints.save, 0

    class Killed(Exception):  # noqa: N818
        pass

    def save_and_die(self: Any, *given: Any) -> None:
        nonlocal count
        save(self, *given)
        if self.folder.name == "all_images":
            count += 1
            if count == 3:
                raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_die)
        with pytest.raises(Killed):
            unfreeze.main()
    unfreeze.main()
    assert (project_paths.MODELS / "unfreeze" / "model.safetensors").read_bytes() == expected


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["frozen", "train"])
def test_pinned_values_train_as_the_comparison_that_chose_them(
    policy: BatchNormPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = _chosen(monkeypatch, policy)
    unfreeze.main()
    weights = (project_paths.MODELS / "unfreeze" / "model.safetensors").read_bytes()
    chosen = _report()
    head = HeadChoice({"warmup_head.fit": "logistic", "warmup_head.strength": 0.01}, [])
    write_values(MeasuredAdvice(head, choice, {"augment.flip": 0.5, "augment.crop": 0.2}).values)
    known = HeadMethod("logistic", 0.01, is_compared=False)
    write_head_choice(HeadChoice({}, []), known, project_paths.REPORTS / "warmup_head")
    unfreeze.main()
    assert (project_paths.MODELS / "unfreeze" / "model.safetensors").read_bytes() == weights
    pinned = _report()
    assert pinned["refit"] == {"images": 30, "epochs": EPOCHS}
    for key in ("best_epoch", "blocks", "val_loss", "calibration"):
        assert pinned[key] == chosen[key], key


def test_a_pinned_training_without_epochs_leaves_the_head_of_the_head_warm_up() -> None:
    pinned = {"keep": "if_better", "batch_norm": "affine", "epochs": 0, "refit": "off"}
    write_values({f"unfreeze.{key}": value for key, value in pinned.items()})
    unfreeze.main()
    found, _ = directory.load(project_paths.MODELS / "unfreeze")
    expected = small.open_model().classifier.head.state_dict()
    for name, value in found.head.state_dict().items():
        assert torch.equal(value, expected[name]), name

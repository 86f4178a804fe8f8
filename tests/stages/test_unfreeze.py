from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.advice import project as small
from tests.training.greedy import greedy
from tests.training.phase import differing, state
from thaw.advice.auto_values import KeepRule, Resolved, resolve
from thaw.advice.tournament.stage_choices import HeadMethod
from thaw.advice.tournament.training_choice import TrainingChoice
from thaw.config.editing import write_values
from thaw.config.training_sections import Unfreeze
from thaw.model.classifier import Classifier
from thaw.model.freeze_plan import last_blocks
from thaw.stages import unfreeze
from thaw.system.processes import run_main
from thaw.training.observer import Observer

if TYPE_CHECKING:
    from thaw.model.classifier import ClassifierPart
    from thaw.training.progress import Progress


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make(tmp_path_factory.mktemp("unfreeze"))


@pytest.fixture(autouse=True)
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny project with the model of a head warm-up, as the working directory."""
    torch.set_num_threads(1)
    monkeypatch.chdir(made)


def run(**values: Any) -> tuple[Progress, set[str]]:
    """Run the stage with other parameters; return its progress and the parts that changed."""
    off = {"epochs": 1, "blocks": [], "depth": 2, "batch_norm": "frozen", "lr": 0.001}
    write_values({f"unfreeze.{key}": value for key, value in {**off, **values}.items()})
    project = small.open_model()
    before = state(project.classifier)
    resolved = resolve(project.context, project.classifier, project.spec.preprocessing)
    progress = unfreeze.run(
        project.context, project.classifier, project.spec.preprocessing, resolved, Observer()
    )
    changed = differing(before, state(project.classifier))
    return progress, {
        ".".join(name.split(".")[: 1 + name.startswith("blocks")]) for name in changed
    }


@pytest.mark.slow
def test_exhausted_memory_ends_the_stage_with_what_would_fit_and_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_values({"unfreeze.depth": 2, "unfreeze.batch_norm": "frozen", "unfreeze.batch_size": 8})
    forward = Classifier.part

    def part(model: Classifier, start: int, end: int | None = None) -> ClassifierPart:
        made = forward(model, start, end)
        greedy(made, 2)
        return made

    monkeypatch.setattr(Classifier, "part", part)
    with pytest.raises(SystemExit) as ended:
        run_main(unfreeze.main)
    assert ended.value.code == 2
    assert "error: out of memory in epoch 1, step 1: 8 images do not fit" in (
        text := capsys.readouterr().err
    )
    assert "2 do: set launch.accumulate to 4 (or auto)" in text
    for values in ({"launch.accumulate": "auto"}, {"unfreeze.batch_size": "auto"}):
        write_values({"unfreeze.batch_size": 8, "launch.accumulate": 1, **values})
        unfreeze.main()
        assert "launch.accumulate auto: a step is computed in" in capsys.readouterr().err
    write_values({"unfreeze.batch_size": 8, "launch.accumulate": 1})


@pytest.mark.parametrize(
    ("values", "trained"),
    [
        ({"depth": 2}, {"blocks.5", "blocks.6", "head"}),
        ({"depth": 0}, {"head"}),
        ({"blocks": [1, 7]}, {"blocks.0", "blocks.6", "head"}),
    ],
)
def test_the_blocks_of_the_plan_and_the_head_are_trained(
    values: dict[str, Any], trained: set[str]
) -> None:
    progress, changed = run(**values)
    assert progress.best_epoch == 1
    assert changed == trained


def test_the_model_of_the_warm_up_is_kept_if_no_epoch_is_better() -> None:
    progress, changed = run(lr=10.0)
    assert progress.best_epoch == 0
    assert changed == set()


@pytest.mark.parametrize(
    ("epochs", "depth", "reason"),
    [
        (3, 2, "no epoch has a lower validation loss than the head warm-up: its model is kept"),
        (0, 0, "no epoch is trained: the model of the head warm-up is kept"),
        (0, 1, "unfreeze.epochs is 0: no epoch of the chosen block is trained, and the model "),
        (0, 2, "unfreeze.epochs is 0: no epoch of the 2 chosen blocks is trained, and the model "),
    ],
)
def test_the_reason_why_the_model_of_the_warm_up_is_kept_names_missing_epochs(
    epochs: int, depth: int, reason: str
) -> None:
    settings = Unfreeze(epochs=epochs, depth=depth)
    said = unfreeze._why_kept(Resolved(settings, last_blocks(depth, 7), {}))
    assert said.startswith(reason)
    assert said.endswith("`-S unfreeze.epochs=5`") == (epochs == 0 and depth > 0)


def test_without_epochs_the_validation_images_alone_go_through_the_network() -> None:
    write_values({f"augment.{key}": 0.0 for key in ("rotate", "shift", "zoom")})
    trained = run(epochs=1)[0].history[0]
    for path in Path(".thaw/activations").glob("*"):
        path.unlink()
    progress, changed = run(epochs=0)
    assert changed == set()
    assert progress.history == [trained]
    images = [len(np.load(path)) for path in Path(".thaw/activations").glob("*.npy")]
    assert images == [len(small.open_model().context.data.manifest.ids("val"))]


@pytest.mark.parametrize("calibration", ["auto", "off"])
def test_a_training_on_trial_is_judged_as_the_comparison_with_the_head_judges_it(
    calibration: str,
) -> None:
    write_values({"unfreeze.depth": 2, "regularize.calibration": calibration})
    opened = small.open_model()
    plan = last_blocks(2, 7, "frozen")
    for trial in (None, KeepRule()):
        resolved = Resolved(opened.context.params.unfreeze, plan, {}, trial)
        phase = unfreeze.phase_of(opened.context, opened.spec.preprocessing, resolved)
        assert phase.keeps_start == (trial is None)
        assert phase.calibration == ("off" if trial is None else calibration)


@pytest.mark.parametrize(
    ("keep", "needed"), [("auto", False), ("if_better", False), ("if_clearly_better", True)]
)
def test_a_chosen_training_needs_one_standard_error_only_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, keep: str, needed: bool
) -> None:
    values = {"depth": 2, "lr": 1e-4, "batch_norm": "frozen", "epochs": 1}
    monkeypatch.setattr(unfreeze, "choose_training", lambda *_: TrainingChoice("way", values, []))
    write_values({"unfreeze.depth": "auto", "unfreeze.keep": keep})
    opened = small.open_model()
    stage: Any = SimpleNamespace(context=opened.context)
    head = HeadMethod("logistic", 0.01, is_compared=True)
    resolved = unfreeze.resolved_by(stage, opened.classifier, opened.spec, head)
    assert resolved.keep_rule == KeepRule(needs_one_error=needed)
    write_values({"unfreeze.keep": "auto"})


@pytest.mark.parametrize(
    ("setting", "depth", "policy", "reported"),
    [
        ("auto", 2, "frozen", 0.0),
        ("auto", 7, "train", 0.1),
        ("auto", 0, "frozen", None),  # nothing trains
        (0.05, 2, "frozen", None),  # nothing was chosen
    ],
)
def test_the_label_smoothing_of_the_chosen_training_is_reported(
    monkeypatch: pytest.MonkeyPatch,
    setting: float | str,
    depth: int,
    policy: str,
    reported: float | None,
) -> None:
    values = {"depth": depth, "lr": 1e-4, "batch_norm": policy, "epochs": 1}
    choice = TrainingChoice("way", values, [])
    monkeypatch.setattr(unfreeze, "choose_training", lambda *_: choice)
    write_values({"unfreeze.depth": "auto", "regularize.label_smoothing": setting})
    opened = small.open_model()
    stage: Any = SimpleNamespace(context=opened.context)
    head = HeadMethod("logistic", 0.01, is_compared=True)
    resolved = unfreeze.resolved_by(stage, opened.classifier, opened.spec, head)
    assert resolved.chosen.get("regularize.label_smoothing") == reported
    write_values({"regularize.label_smoothing": 0.1})

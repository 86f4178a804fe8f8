from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.advice.project import PREPARED
from thaw.advice.tournament import head_choice
from thaw.advice.tournament.head_choice import HeadChoice, choose_head
from thaw.advice.tournament.head_tournament import HeadTournament
from thaw.advice.tournament.leaderboard import Row
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.parameter_values import auto_keys, with_values
from thaw.config.params import Params
from thaw.context import Context, Phase, open_context
from thaw.model.freeze_plan import last_blocks
from thaw.registry.starting_model import begin
from thaw.system.project_paths import ACTIVATIONS
from thaw.training import cached_activations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.advice.tournament.leaderboard import Entry
    from thaw.model.classifier import Classifier

AUTO = dict.fromkeys(head_choice.KEYS, "auto")


def opened(**values: Any) -> Context:
    """Open the project with these values, by section and key."""
    write_values({key.replace("__", "."): value for key, value in values.items()})
    return open_context(load(Params), PREPARED, single_process=True)


def automatic(**values: Any) -> Context:
    """Open the project with ``auto`` for all values that the head tournament chooses."""
    write_values(AUTO)
    return opened(**values)


@pytest.mark.slow
def test_every_automatic_value_is_chosen_from_a_leaderboard(project: Path) -> None:
    context = automatic()
    found = choose_head(context, "")
    chosen = with_values(context.params, found.values)
    assert auto_keys(chosen) == []
    assert found.images == sum(len(context.data.manifest.ids(s)) for s in ("train", "val"))
    assert sum(row.chosen for row in found.rows) == 1
    winner = next(row for row in found.rows if row.chosen)
    assert winner.image_size == chosen.backbone.image_size
    assert winner.fit == chosen.warmup_head.fit
    assert winner.strength == chosen.warmup_head.strength
    assert winner.accuracy > 0.8  # the classes differ in colour


@pytest.mark.slow
def test_given_values_stay(project: Path) -> None:
    found = choose_head(opened(head__taps="auto"), "")
    assert set(found.values) == {"head.taps"}
    assert {(row.framing, row.image_size, row.fit) for row in found.rows} == {
        ("crop", 32, "logistic")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "values", [{"head__taps": "auto"}, {"head__taps": [4, 5], "warmup_head__fit": "auto"}]
)
def test_features_that_were_compared_are_not_computed_again_for_the_fit_of_the_head(
    project: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    context = opened(**values)
    chosen = with_values(context.params, choose_head(context, "").values)
    classifier, spec = begin(chosen, chosen.head, context.data, "")
    phase = Phase(
        last_blocks(0, len(classifier.blocks), "frozen"), chosen.warmup_head, spec.preprocessing
    )
    with monkeypatch.context() as patch:
        patch.setattr(cached_activations, "_compute", None)
        known = read(context, classifier, phase)
    for path in ACTIVATIONS.glob("*.npy"):
        path.unlink()
    for found, computed in zip(known, read(context, classifier, phase), strict=True):
        assert np.array_equal(found, computed)


def read(context: Context, classifier: Classifier, phase: Phase) -> list[NDArray[np.float32]]:
    """Return what the head reads of the images for training and for validation."""
    sources = context.inputs(classifier, phase).pair
    return [source.read(np.arange(len(source))).numpy() for source in sources]


def test_nothing_is_compared_where_nothing_is_automatic(project: Path) -> None:
    assert choose_head(opened(), "") == HeadChoice({}, [], note="nothing is auto")


@pytest.mark.slow
def test_a_choice_is_stored_and_found_again_for_the_same_inputs_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choose_head(automatic(head__taps=[], backbone__framing="crop"), "")
    runs = []
    original = HeadTournament.run

    def counted(self: HeadTournament) -> Entry:
        runs.append(1)
        return original(self)

    monkeypatch.setattr(HeadTournament, "run", counted)
    assert choose_head(opened(), "") == first
    assert not runs
    choose_head(opened(seed=5), "")
    assert len(runs) == 1
    for path in Path(".thaw/choices").glob("head-*.json"):
        path.write_text("{damaged")
    assert choose_head(opened(seed=0), "").values == first.values
    assert len(runs) == 2


@pytest.mark.slow
def test_the_same_inputs_give_the_same_choice(project: Path) -> None:
    context = automatic(backbone__image_size=32)
    first = choose_head(context, "")
    for path in Path(".thaw/choices").glob("head-*.json"):
        path.unlink()
    second = choose_head(context, "")
    assert first.values == second.values
    assert [(r.log_loss, r.accuracy) for r in first.rows] == [
        (r.log_loss, r.accuracy) for r in second.rows
    ]


@pytest.mark.slow
def test_validation_images_that_look_different_are_predicted_from_training_images(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeadTournament, "validation_differs", lambda _: True)
    context = opened(head__taps="auto", seed=1)
    found = choose_head(context, "")
    assert found.validation_differs
    assert all(0 <= row.accuracy <= 1 for row in found.rows)
    # each accuracy is a share of the validation images
    count = len(context.data.manifest.ids("val"))
    assert all(
        row.accuracy * count == pytest.approx(round(row.accuracy * count), abs=1e-3)
        for row in found.rows
    )


def test_new_weights_have_nothing_to_compare(project: Path) -> None:
    found = choose_head(automatic(backbone__weights="none"), "")
    assert found.rows == []
    assert "backbone.weights is none" in found.note
    chosen = with_values(load(Params), found.values)
    assert auto_keys(chosen) == []
    assert chosen.warmup_head.fit == "gradient"


@pytest.mark.slow
def test_the_choice_is_printed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = choose_head(opened(warmup_head__fit="auto"), "")
    assert set(found.values) == {"warmup_head.fit", "warmup_head.strength"}
    found.report()
    assert f"warmup_head.fit {found.values['warmup_head.fit']}" in capsys.readouterr().err


@pytest.mark.parametrize(("loss", "warned"), [(1.2, True), (0.9, False)])
def test_a_head_that_is_no_better_than_guessing_is_warned_about(
    loss: float, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row("fit", "crop", 64, 1.0, "9", "lda", 0.1, loss, 0.1, 0.5, 0.1, 0.0, 0.0, 1.0, True)
    HeadChoice({"warmup_head.fit": "lda"}, [row], 30, 5, guessing=1.1).report()
    said = "better than guessing, whose log-loss is 1.100" in capsys.readouterr().err
    assert said == warned

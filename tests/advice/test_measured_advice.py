from __future__ import annotations

from pathlib import Path

import pytest

from tests.advice.project import BLOCKS, PREPARED
from thaw.advice.measured_advice import MeasuredAdvice, measured_advice
from thaw.advice.stored_advice import stored_advice
from thaw.advice.tournament.deadline import Deadline
from thaw.advice.tournament.head_choice import KEYS, HeadChoice, choose_head
from thaw.advice.tournament.training_choice import TrainingChoice
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.parameter_values import auto_keys, with_values
from thaw.config.params import Params
from thaw.config.section import AUTO
from thaw.context import open_context
from thaw.data.prepared import Prepared
from thaw.registry.starting_model import parent_of
from thaw.search import attempt, storage
from thaw.search.first_trials import enqueue_first_trials
from thaw.search.study import open_study
from thaw.search.study_definition import StudyDefinition

TRAINED = {"depth": 7, "lr": 0.001, "batch_norm": "train", "epochs": 7}


def advice(
    training: dict[str, object], augmentation: dict[str, float] | None = None
) -> MeasuredAdvice:
    """Return an advice with this training."""
    values = {"head.taps": [3], "warmup_head.fit": "lda"}
    choice = TrainingChoice("name", training, [])
    return MeasuredAdvice(HeadChoice(values, []), choice, augmentation or {})


def test_a_training_is_advised_without_an_affine_phase_and_with_a_refit_on_all_images() -> None:
    values = advice(TRAINED).values
    assert (values["unfreeze.depth"], values["unfreeze.refit"]) == (7, "on")
    assert (values["fold_bn.epochs"], values["augment.noise"]) == (0, 0.0)


def test_a_training_is_advised_with_the_comparison_that_the_stage_makes() -> None:
    values = advice(TRAINED).values
    assert (values["warmup_head.fit"], values["unfreeze.keep"]) == ("lda", "if_better")


def test_how_a_training_ends_stays_as_it_is_given(project: Path) -> None:
    write_values({"unfreeze.keep": "if_clearly_better", "unfreeze.refit": "off"})
    found = measured_advice(PREPARED)
    assert found is not None
    given = {"unfreeze.keep": "if_clearly_better", "unfreeze.refit": "off"}
    assert {key: found.values[key] for key in given} == given
    write_values({"unfreeze.keep": "auto", "unfreeze.refit": "auto"})
    found = measured_advice(PREPARED)
    assert found is not None
    assert (found.values["unfreeze.keep"], found.values["unfreeze.refit"]) == ("if_better", "on")


def test_images_are_changed_where_blocks_train_and_validation_images_look_different() -> None:
    head_alone = {"depth": 0, "lr": 1e-4, "batch_norm": "frozen", "epochs": 0}
    chosen = {"augment.crop": 0.2, "augment.flip": 0.0, "augment.noise": 0.1}
    values = advice(TRAINED, chosen).values
    assert {key: values[key] for key in chosen} == chosen
    values = advice(head_alone, chosen).values
    assert {key: values[key] for key in chosen} == {**chosen, "augment.noise": 0.0}
    assert values["unfreeze.refit"] == "on"


def test_the_values_of_a_section_are_together() -> None:
    sections = [key.partition(".")[0] for key in advice(TRAINED).values]
    assert sections == sorted(sections, key=sections.index)


@pytest.mark.slow
def test_all_values_are_compared_once_also_where_params_yaml_gives_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = measured_advice(PREPARED)
    assert found is not None
    assert {row.image_size for row in found.head.rows} == {64}  # params.yaml says 32
    assert auto_keys(with_values(load(Params), found.values)) == []
    assert stored_advice(PREPARED) == found.values
    # The stage warmup_head, whose values are auto, reads the same comparison.
    monkeypatch.setattr("thaw.advice.tournament.head_choice.HeadTournament", None)
    free = {"head.hidden": [], "warmup_head.strength": AUTO, **dict.fromkeys(KEYS, AUTO)}
    params = with_values(load(Params), free)
    context = open_context(params, PREPARED, single_process=True)
    assert choose_head(context, parent_of(params)) == found.head
    # After --apply all values are those of the advice: the same choice, and nothing is compared.
    write_values({**found.values, "augment.noise": 0.1})
    monkeypatch.setattr("thaw.advice.tournament.training_choice.FoldTrainer", None)
    again = measured_advice(PREPARED)
    assert again is not None
    assert again.values == found.values
    assert (again.head, again.training) == (found.head, found.training)
    # A search tries what was compared.
    depths = {"low": 0, "high": BLOCKS, "log": False}
    write_values({"search.space": {"unfreeze.depth": depths}, "unfreeze.refit": "auto"})
    params = load(Params)
    definition = StudyDefinition.from_params(params, Prepared(PREPARED).manifest.digest, "")
    connected = storage.connect(params.search.storage)
    study = open_study(definition, connected, "")
    enqueue_first_trials(study, connected, definition, PREPARED, 2)
    _, trial = study.get_trials()
    assert trial.user_attrs[attempt.NAME] == "advice"
    waiting = trial.system_attrs["fixed_params"]  # of Optuna, until the trial begins
    drawn = {d.key: d.decode(waiting[d.key]) for d in definition.dimensions}
    assert {**attempt.values_of(trial, []), **drawn} == found.values


@pytest.mark.slow
def test_after_the_deadline_nothing_more_is_compared_and_nothing_is_stored(project: Path) -> None:
    found = measured_advice(PREPARED, deadline=Deadline(0.0))
    assert found is not None
    assert found.is_shortened
    assert (len(found.head.rows), len(found.training.rows)) == (1, 1)
    assert found.training.name == "head alone"
    assert not list(Path(".thaw").glob("choices/*"))
    assert stored_advice(PREPARED) is None


def test_new_weights_have_nothing_to_compare(project: Path) -> None:
    write_values({"backbone.weights": "none"})
    assert measured_advice(PREPARED) is None

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.study import StudyDirection

from tests import settings
from tests.search import project
from thaw.config.parameter_values import with_values
from thaw.search.study_definition import StudyDefinition

if TYPE_CHECKING:
    from thaw.config.params import Params


def test_the_key_depends_on_parameters_outside_of_the_space_only(params: Params) -> None:
    first = project.definition_of(params)
    outside = project.definition_of(with_values(params, {"warmup_head.epochs": 9}))
    inside = project.definition_of(with_values(params, {"unfreeze.depth": 0, "unfreeze.lr": 0.01}))
    assert outside.key != first.key
    assert inside.key == first.key  # `thaw search --apply` does not start a new study


def test_the_number_of_views_counts_only_with_augmentation(params: Params) -> None:
    def key(views: int, **augment: float) -> str:
        search = params.search.model_copy(update={"views": views})
        changes = {"search": search, "augment": settings.augment(**augment)}
        return project.definition_of(params.model_copy(update=changes)).key

    assert key(4, rotate=6.0) != key(8, rotate=6.0)
    assert key(4) == key(8)


def test_of_a_registered_backbone_the_version_counts_and_not_the_alias(params: Params) -> None:
    keys = {
        weights: [StudyDefinition.from_params(
            with_values(params, {"backbone.weights": weights}),
            "data", f"models:/m/{version}",
        ).key for version in (1, 2)]
        for weights in ("models:/m@champion", "models:/m/1")
    }  # fmt: skip
    assert keys["models:/m@champion"][0] != keys["models:/m@champion"][1]
    assert keys["models:/m@champion"][0] == keys["models:/m/1"][0]


def test_objectives_have_names_and_directions(params: Params) -> None:
    def definition(**changes: object) -> StudyDefinition:
        search = params.search.model_copy(update=changes)
        return project.definition_of(params.model_copy(update={"search": search}))

    low, high = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE
    assert (definition().metrics, definition().directions) == (["log_loss"], [low])
    both = definition(objective="accuracy", latency=True)
    assert (both.metrics, both.directions) == (["accuracy", "latency_ms"], [high, low])

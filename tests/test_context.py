from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from torch import nn

from tests import settings, tiny
from tests.training import phase
from thaw.config.parameter_values import with_values
from thaw.context import Context, Phase
from thaw.model.batchnorm import ChannelAffine
from thaw.model.freeze_plan import last_blocks
from thaw.training.phase_inputs import PhaseInputs

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.literals import BatchNormPolicy
    from thaw.model.classifier import Classifier


def opened(inputs: PhaseInputs) -> Context:
    """Return a context whose inputs are given, as in a search."""

    def open_inputs(*_: object) -> PhaseInputs:
        return inputs

    data: Any = None  # not read, because the inputs are given
    return Context(settings.PARAMS, data, tiny.runtime(), open_inputs)


@pytest.fixture
def inputs(tmp_path: Path) -> PhaseInputs:
    return PhaseInputs(phase.images(tmp_path / "train"), phase.images(tmp_path / "val", 13), 0)


def kinds(model: Classifier, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in model.modules())


@pytest.mark.parametrize(("policy", "folded"), [("frozen", 0), ("affine", 2)])
def test_inputs_are_opened_after_the_plan_is_applied_and_blocks_are_folded(
    inputs: PhaseInputs, policy: BatchNormPolicy, folded: int
) -> None:
    model, plan = tiny.classifier(), last_blocks(2, 3, policy)
    given = Phase(plan, phase.config(), phase.PREPROCESSING)
    assert opened(inputs).inputs(model, given) is inputs
    assert model.plan == plan
    assert (kinds(model, ChannelAffine), kinds(model, nn.BatchNorm2d)) == (folded, 3 - folded)


def test_the_setup_of_a_phase_has_the_seed_and_the_regularisation_of_the_project(
    inputs: PhaseInputs,
) -> None:
    given = Phase(
        last_blocks(1, 3), phase.config(), phase.PREPROCESSING, lr_decay=0.5, gradual_epochs=2
    )
    setup = opened(inputs).setup(given)
    assert (setup.seed, setup.regularize) == (settings.PARAMS.seed, settings.PARAMS.regularize)
    assert (setup.lr_decay, setup.gradual_epochs) == (0.5, 2)


@pytest.mark.parametrize(
    ("depth", "policy", "smoothing"),
    [(1, "frozen", 0.0), (3, "fixed", 0.0), (3, "train", 0.1), (3, "affine", 0.1),
     (0, "frozen", 0.1)],
)  # fmt: skip
def test_auto_becomes_the_label_smoothing_of_the_plan(
    inputs: PhaseInputs, depth: int, policy: BatchNormPolicy, smoothing: float
) -> None:
    params = with_values(settings.PARAMS, {"regularize.label_smoothing": "auto"})
    context = replace(opened(inputs), params=params)
    given = Phase(last_blocks(depth, 3, policy), phase.config(), phase.PREPROCESSING)
    assert context.setup(given).regularize.label_smoothing == smoothing

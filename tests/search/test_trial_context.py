from __future__ import annotations

from typing import TYPE_CHECKING

from tests.search import project
from thaw.config.parameter_values import with_values

if TYPE_CHECKING:
    from thaw.config.params import Params


def test_the_context_of_a_trial_has_its_parameters_and_shared_data_and_inputs(
    params: Params,
) -> None:
    shared = project.opened(params)
    changed = with_values(params, {"unfreeze.lr": 0.005})
    context = shared.context_of(changed)
    assert context.params == changed
    assert context.data is shared.project.data
    assert context.runtime is shared.project.runtime
    assert context.open_inputs == shared.open_inputs

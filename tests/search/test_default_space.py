from __future__ import annotations

from typing import Any

import pytest

from thaw.config.parameter_values import with_values
from thaw.config.params import Params
from thaw.config.search_sections import Range
from thaw.search import search_space
from thaw.search.default_space import with_fitting_space

DEFAULT = Params().search.space
BASE = {"unfreeze.depth": 2}  # a search starts from a known depth


def fitted(**values: Any) -> dict[str, Any]:
    """Return the space for ``values`` (``a__b`` is ``a.b``), after the checks of a search."""
    changes = BASE | {key.replace("__", "."): value for key, value in values.items()}
    params = with_fitting_space(with_values(Params(), changes))
    search_space.check(params, search_space.read(params), {params.backbone.name: 9})
    return params.search.space


def test_the_space_stays_where_it_fits() -> None:
    assert fitted() == DEFAULT
    assert list(fitted()) == list(DEFAULT)  # so that the key of existing studies stays


@pytest.mark.parametrize("fit", ["logistic", "lda", "svm"])
def test_a_head_that_is_fitted_has_no_layers_or_rate_to_search(fit: str) -> None:
    assert fitted(warmup_head__fit=fit).keys() == {"unfreeze.depth", "unfreeze.lr"}


def test_without_epochs_of_fine_tuning_their_number_is_searched() -> None:
    space = fitted(warmup_head__fit="lda", unfreeze__epochs=0, unfreeze__depth=0)
    assert space["unfreeze.epochs"] == [0, Params().unfreeze.epochs]
    assert "unfreeze.depth" in space


def test_the_values_of_the_project_are_in_the_space() -> None:
    space = fitted(unfreeze__lr=1e-6, warmup_head__lr=0.5, head__hidden=[7])
    assert space["unfreeze.lr"] == Range(low=1e-6, high=0.003, log=True)
    assert space["warmup_head.lr"] == [0.0005, 0.002, 0.008, 0.5]
    assert space["head.hidden"] == [[], [64], [256], [7]]
    assert fitted(unfreeze__lr=0.9)["unfreeze.lr"].high == 0.9


def test_depths_end_at_the_highest_block_that_the_head_reads() -> None:
    assert fitted(head__taps=[3, 5])["unfreeze.depth"].high == 5
    network = {"backbone__name": "lenet5", "backbone__weights": "none"}
    params = with_values(Params(), BASE | {k.replace("__", "."): v for k, v in network.items()})
    depths = with_fitting_space(params).search.space["unfreeze.depth"]
    assert isinstance(depths, Range)
    assert depths.high == 4


def test_chosen_blocks_leave_no_depth_to_search() -> None:
    assert "unfreeze.depth" not in fitted(unfreeze__blocks=[1, 9])


def test_a_space_of_the_user_stays() -> None:
    own = {"head.hidden": [[], [8]], "unfreeze.lr": [0.1]}
    search = Params().search.model_copy(update={"space": own})
    params = with_values(Params(), {"warmup_head.fit": "lda", "unfreeze.epochs": 0})
    params = params.model_copy(update={"search": search})
    assert with_fitting_space(params) == params

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from tests import settings
from thaw.config.parameter_values import with_values
from thaw.config.search_sections import Range
from thaw.errors import ThawError
from thaw.search import search_space

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thaw.config.params import Params

BLOCKS = {"timm/tf_efficientnet_lite0": 9}


def with_space(space: dict[str, Any], **values: Any) -> Params:
    made = {k: Range(**v) if isinstance(v, dict) else v for k, v in space.items()}
    search = settings.PARAMS.search.model_copy(update={"space": made})
    params = settings.PARAMS.model_copy(update={"search": search})
    return with_values(params, {key.replace("__", "."): v for key, v in values.items()})


def problem(space: dict[str, Any], blocks: Mapping[str, int] = BLOCKS, /, **values: Any) -> str:
    params = with_space(space, **values)
    with pytest.raises(ThawError) as raised:
        search_space.check(params, search_space.read(params), blocks)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_backbones_are_choices_and_every_depth_exists_in_all_of_them() -> None:
    names = ["timm/tf_efficientnet_lite0", "lenet5"]
    space = {"backbone.name": names, "unfreeze.depth": rates(0, 4, log=False)}
    blocks = {names[0]: 9, names[1]: 5}
    params = with_space(space, unfreeze__depth=2)
    search_space.check(params, search_space.read(params), blocks)
    space["unfreeze.depth"] = rates(0, 9, log=False)
    found = problem(space, blocks, unfreeze__depth=2)
    assert "search.space.unfreeze.depth: 9 is beyond the 5 blocks of lenet5" in found


def test_weights_of_one_network_allow_no_other_backbone() -> None:
    space = {"backbone.name": ["timm/tf_efficientnet_lite0", "lenet5"]}
    found = problem(space, backbone__weights="models:/m@champion")
    assert "backbone.weights is models:/m@champion, a registered model: set it to" in found


def rates(low: float, high: float, *, log: bool = True) -> dict[str, Any]:
    return {"low": low, "high": high, "log": log}


def test_the_space_of_this_project_is_valid() -> None:
    dimensions = search_space.read(settings.PARAMS)
    search_space.check(settings.PARAMS, dimensions, BLOCKS)
    assert {"head.hidden", "unfreeze.depth", "warmup_head.lr", "unfreeze.lr"} == {
        dimension.key for dimension in dimensions
    }


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({"unfreeze.de\tpth": [1]}, r"search.space.unfreeze.de\tpth: there is no such parameter; "),
        ({"unfreeze.dept": [1]}, "search.space.unfreeze.dept: there is no such parameter; did you "
         "mean unfreeze.depth?"),
        ({"data.path": ["a"]}, "search.space.data.path: a search is over head, augment,"),
        ({"backbone.image_size": [64]}, "warmup_head, unfreeze and backbone.name only"),
        ({"backbone.names": [64]}, "warmup_head, unfreeze and backbone.name only"),
        ({"unfreeze.lr": rates(0.1, 0.1)}, "the range is empty: low 0.1 is not below high 0.1"),
        ({"unfreeze.lr": rates(0.2, 0.1)}, "the range is empty"),
        ({"unfreeze.lr": []}, "search.space.unfreeze.lr: there are no choices"),
        ({"head.hidden": [[], [4], []]}, "a choice occurs twice"),
        ({"head.dropout": rates(0, 0.5)}, "a logarithmic range starts above 0"),
        ({"head.dropout": rates(0, 2, log=False)}, "head.dropout: Input should be less"),
        ({"unfreeze.depth": rates(0, 3.5, log=False)}, "valid integer, but it is 3.5"),
        ({"unfreeze.depth": rates(0, 10, log=False)}, "depth: 10 is beyond the 9 blocks of the "
         "backbone"),
        ({"unfreeze.depth": [9, 12]}, "unfreeze.depth: 12 is beyond the 9 blocks"),
        ({"unfreeze.batch_norm": ["train", "of"]}, "but it is 'of'"),
        ({"unfreeze.lr": rates(0.1, 1)}, "params.yaml itself has 0.001, not in 0.1 to 1"),
        ({}, "search.space is empty"),
    ],
)  # fmt: skip
def test_a_wrong_space_is_one_line_that_names_the_key(space: dict[str, Any], expected: str) -> None:
    text = problem(space)
    assert expected in text
    assert text.startswith("params.yaml: ")


def test_all_problems_are_reported_at_once() -> None:
    params = with_space({"unfreeze.dept": [1], "unfreeze.lr": []})
    with pytest.raises(ThawError, match="2 problems"):
        search_space.read(params)


def test_a_depth_beyond_the_block_that_the_head_reads_is_refused() -> None:
    space = {"head.taps": [[], [5]], "unfreeze.depth": rates(0, 9, log=False)}
    assert "9 is beyond the 5 blocks that its head reads from" in problem(space)


def test_a_backbone_that_still_has_to_be_pretrained_is_refused() -> None:
    text = problem({"head.dropout": [0.0]}, backbone__layerwise_epochs=3)
    assert "backbone.layerwise_epochs is 3, but a search does not pretrain" in text


def test_a_head_with_hidden_layers_cannot_be_fitted_in_closed_form() -> None:
    space = {"warmup_head.fit": ["gradient", "logistic"], "head.hidden": [[], [8]]}
    assert "logistic fits one linear layer" in problem(space)


def test_an_automatic_depth_is_refused() -> None:
    assert "thaw advise --apply" in problem({"head.dropout": [0.0]}, unfreeze__depth="auto")


@pytest.mark.parametrize("entry", [rates(0, 0.2, log=False), [0.0, 0.1]])
def test_a_searched_value_that_is_automatic_has_to_be_known(entry: Any) -> None:
    text = problem({"regularize.label_smoothing": entry}, regularize__label_smoothing="auto")
    assert "params.yaml itself has auto" in text
    remedy = (
        "the search starts there, so set regularize.label_smoothing to one of them, in params.yaml"
    )
    if isinstance(entry, list):
        remedy += ", or add auto to the choices"
    assert text.endswith(remedy)


def test_automatic_label_smoothing_is_a_choice() -> None:
    space: dict[str, Any] = {"regularize.label_smoothing": ["auto", 0.1]}
    params = with_space(space, regularize__label_smoothing="auto")
    search_space.check(params, search_space.read(params), BLOCKS)


def test_a_parameter_of_whole_numbers_is_searched_in_whole_numbers() -> None:
    (dimension,) = search_space.read(with_space({"unfreeze.epochs": rates(2, 9, log=False)}))
    assert isinstance(dimension.distribution, IntDistribution)


def test_choices_that_are_lists_are_text_for_optuna() -> None:
    (dimension,) = search_space.read(with_space({"head.hidden": [[], [8, 4]]}))
    assert dimension.distribution == CategoricalDistribution(["[]", "[8, 4]"])

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import settings
from thaw.config.search_sections import Range
from thaw.errors import ThawError
from thaw.search import search_space

if TYPE_CHECKING:
    from thaw.config.params import Params

BLOCKS = 9


def searched(wanted: dict[str, Any], **values: Any) -> Params:
    made = {k: Range(**v) if isinstance(v, dict) else v for k, v in wanted.items()}
    search = settings.PARAMS.search.model_copy(update={"space": made})
    params = settings.PARAMS.model_copy(update={"search": search})
    return search_space.changed(params, {key.replace("__", "."): v for key, v in values.items()})


def complaint(wanted: dict[str, Any], **values: Any) -> str:
    params = searched(wanted, **values)
    with pytest.raises(ThawError) as raised:
        search_space.check(params, search_space.read(params), BLOCKS)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def rates(low: float, high: float, *, log: bool = True) -> dict[str, Any]:
    return {"low": low, "high": high, "log": log}


def test_the_project_s_own_space_is_valid() -> None:
    dimensions = search_space.read(settings.PARAMS)
    search_space.check(settings.PARAMS, dimensions, BLOCKS)
    assert {"head.hidden", "unfreeze.depth", "warmup_head.lr", "unfreeze.lr"} == {
        dimension.key for dimension in dimensions
    }


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"unfreeze.dept": [1]}, "search.space.unfreeze.dept: there is no such parameter; did you "
         "mean unfreeze.depth?"),
        ({"data.path": ["a"]}, "search.space.data.path: a search is over head, augment,"),
        ({"unfreeze.lr": rates(0.1, 0.1)}, "the range is empty: low 0.1 is not below high 0.1"),
        ({"unfreeze.lr": rates(0.2, 0.1)}, "the range is empty"),
        ({"unfreeze.lr": []}, "search.space.unfreeze.lr: there are no choices"),
        ({"head.hidden": [[], [4], []]}, "a choice is there twice"),
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
def test_a_wrong_space_is_one_line_that_names_the_key(wanted: dict[str, Any], said: str) -> None:
    text = complaint(wanted)
    assert said in text
    assert text.startswith("params.yaml: ")


def test_all_that_is_wrong_is_said_at_once() -> None:
    params = searched({"unfreeze.dept": [1], "unfreeze.lr": []})
    with pytest.raises(ThawError, match="2 problems"):
        search_space.read(params)


def test_a_depth_beyond_what_the_head_reads_is_refused() -> None:
    wanted = {"head.taps": [[], [5]], "unfreeze.depth": rates(0, 9, log=False)}
    assert "9 is beyond the 5 blocks that its head reads from" in complaint(wanted)


def test_a_backbone_that_is_yet_to_be_pretrained_is_refused() -> None:
    text = complaint({"head.dropout": [0.0]}, backbone__layerwise_epochs=3)
    assert "backbone.layerwise_epochs is 3, but a search does not pretrain" in text


def test_a_fitted_head_has_no_hidden_layers() -> None:
    wanted = {"warmup_head.fit": ["gradient", "logistic"], "head.hidden": [[], [8]]}
    assert "logistic fits one linear layer" in complaint(wanted)


def test_a_search_starts_from_a_number() -> None:
    assert "thaw advise --apply" in complaint({"head.dropout": [0.0]}, unfreeze__depth="auto")


def test_choices_that_are_lists_survive_the_storage() -> None:
    dimension = search_space.read(searched({"head.hidden": [[], [8, 4]]}))[0]
    assert [dimension.decode(dimension.encode(value)) for value in ([], [8, 4])] == [[], [8, 4]]
    assert dimension.holds([8, 4])
    assert not dimension.holds([4])


def test_a_value_beyond_the_range_has_a_nearest_one_and_a_choice_has_none() -> None:
    rate, choice = search_space.read(
        searched({"unfreeze.lr": rates(0.001, 0.1), "head.norm": ["none"]})
    )
    assert [rate.nearest(value) for value in (1e-5, 0.01, 1.0)] == [0.001, 0.01, 0.1]
    assert choice.nearest("layer") is None


def test_a_parameter_of_whole_numbers_is_searched_in_whole_numbers() -> None:
    dimension = search_space.read(searched({"unfreeze.epochs": rates(2, 9, log=False)}))[0]
    assert type(dimension.distribution).__name__ == "IntDistribution"
    assert dimension.nearest(20) == 9

from __future__ import annotations

import pytest

from tests import settings
from thaw.config.parameter_values import value_of, with_values
from thaw.errors import ThawError


def test_values_are_read_and_replaced_by_dotted_key() -> None:
    changed = with_values(settings.PARAMS, {"unfreeze.lr": 0.25, "seed": 9})
    assert (value_of(changed, "unfreeze.lr"), value_of(changed, "seed")) == (0.25, 9)
    assert value_of(settings.PARAMS, "seed") != 9
    assert value_of(changed, "unfreeze.epochs") == settings.PARAMS.unfreeze.epochs


def test_a_value_that_the_parameter_does_not_take_is_refused() -> None:
    with pytest.raises(ThawError, match="but it is -1"):
        with_values(settings.PARAMS, {"unfreeze.lr": -1})

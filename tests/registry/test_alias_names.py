from __future__ import annotations

import pytest

from thaw.errors import ThawError
from thaw.registry.alias_names import check_alias


@pytest.mark.parametrize("alias", ["champion", "a_b-2", "vision", "later"])
def test_usual_names_are_accepted(alias: str) -> None:
    check_alias(alias)


@pytest.mark.parametrize("alias", ["", "a/b", "2nd", "a b"])
def test_names_with_other_characters_are_refused(alias: str) -> None:
    with pytest.raises(ThawError, match="is not a valid alias: start with a letter"):
        check_alias(alias)


@pytest.mark.parametrize("alias", ["latest", "Latest", "v2", "V10"])
def test_names_that_mlflow_reserves_are_refused(alias: str) -> None:
    with pytest.raises(ThawError, match="is reserved by MLflow"):
        check_alias(alias)

from __future__ import annotations

import pytest

from thaw.errors import ThawError
from thaw.registry.alias_names import check_alias, refuse_similar_alias


@pytest.mark.parametrize("alias", ["champion", "a_b-2", "vision", "later", "a" * 100])
def test_usual_names_are_accepted(alias: str) -> None:
    check_alias(alias)


@pytest.mark.parametrize("alias", ["", "a/b", "2nd", "a b", "a" * 101])
def test_names_with_other_characters_are_refused(alias: str) -> None:
    with pytest.raises(ThawError, match="is not a valid alias: start with a letter"):
        check_alias(alias)


@pytest.mark.parametrize("alias", ["latest", "Latest", "v2", "V10"])
def test_names_that_mlflow_reserves_are_refused(alias: str) -> None:
    with pytest.raises(ThawError, match="is reserved by MLflow"):
        check_alias(alias)


@pytest.mark.parametrize(
    ("alias", "other"),
    [
        ("Champion", "champion"),
        ("CHAMPION", "champion"),
        ("ch\u0430mpion", "champion"),  # Cyrillic a
        ("champ\u0131on", "champion"),  # dotless i
        ("ch\u00e4mpion", "champion"),  # a database may ignore accents
        ("Challenger", "challenger"),
        ("PREVIOUS", "previous"),
        ("Staging", "staging"),
    ],
)
def test_a_name_that_looks_like_another_alias_is_refused(alias: str, other: str) -> None:
    with pytest.raises(ThawError, match=f"^--to {alias}: the alias looks like '{other}'"):
        refuse_similar_alias(alias, {"staging": 1})


def test_other_names_and_existing_aliases_are_accepted() -> None:
    for alias in ("champion", "champion2", "champ", "staging", "Staging"):
        refuse_similar_alias(alias, {"staging": 1, "Staging": 2})
    with pytest.raises(ThawError, match="looks like 'champion'"):
        refuse_similar_alias("Champion", {"Champion": 1})

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from thaw.system.sqlite_addresses import (
    address_of,
    is_sqlite,
    may_write,
    path_of,
    read_only_address,
)

NAMES = ["plain", "a%20b", "a b", "a?b", "a#b", "a%3Fb", "100%", "é&ü=;", "a+b", "a@b:c"]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_of_any_name_is_the_one_that_sqlalchemy_opens(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "x.db"
    path.parent.mkdir()
    address = address_of(path)
    assert is_sqlite(address)
    assert path_of(address) == path
    assert make_url(address).database == str(path)
    with create_engine(address).connect() as connection:
        connection.execute(text("create table t (x)"))
    assert path.stat().st_size > 0
    with create_engine(read_only_address(path)).connect() as connection:
        assert connection.execute(text("select count(*) from t")).scalar() == 0
        with pytest.raises(OperationalError, match="readonly database"):
            connection.execute(text("create table u (x)"))
    assert may_write(path)


def test_options_and_relative_paths_are_read() -> None:
    assert path_of("sqlite:///mlruns/x.db?timeout=5") == Path("mlruns/x.db")
    assert address_of(Path("mlruns/x.db")) == "sqlite:///mlruns/x.db"
    assert not is_sqlite("postgresql://host/x")

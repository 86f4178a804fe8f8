from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from thaw.config.params import Params
from thaw.config.store_addresses import (
    address_problem,
    refuse_unusable_stores,
    warn_of_passwords,
)
from thaw.errors import ThawError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMES = ("sqlite", "postgresql", "mssql", "http", "databricks", "databricks-uc")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "sqlite:///{}/new.db",
        "sqlite:///{}/new/folder/new.db",
        "sqlite:///{}/real.db",
        "sqlite:///{}/empty.db?timeout=5",
        "http://localhost:5000",
        "postgresql+psycopg://user:word@host/db",
        "postgresql:///db",  # by a socket of this machine, as PGHOST says
        "postgresql:///db?host=/run/postgresql",
        "mssql+pyodbc:///?odbc_connect=DSN%3Dstudies",
        "databricks",
        "databricks-uc",
        "databricks://profile",
    ],
)
def test_an_address_that_can_be_used_has_no_problem(tmp_path: Path, address: str) -> None:
    with sqlite3.connect(tmp_path / "real.db") as database:
        database.execute("create table t (x)")
    (tmp_path / "empty.db").touch()
    assert address_problem(address.format(tmp_path), SCHEMES) is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("sqlite:///{}", r"is a folder: name a file in it"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "such a database ends with each process: write sqlite:///FILE.db"),
        ("sqlite:///file:a?mode=memory&cache=shared&uri=true", "ends with each process"),
        ("sqlite:///%3Amemory%3A", "ends with each process"),
        ("sqlite:///{}/text.db", "is not an SQLite database"),
        ("sqlite:///{}/text.db/x.db", "cannot be created: .*text.db is not a folder"),
        ("sqlite:///" + "x" * 300, "cannot be read: File name too long"),
        ("ftp://host/x", "is no address of sqlite, postgresql"),
        ("mlruns", "is no address of"),
        ("postgresql:x", r"names no host: write postgresql://HOST"),
        ("postgresql://", "names no host"),
        ("http://", "names no host"),
        ("http:///x", "names no host"),
        ("sqlite://", r"names no file: write sqlite:///FILE\.db"),
        ("http://[::1", "is no address"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, address: str, reason: str
) -> None:
    (tmp_path / "text.db").write_text("not a database, but a text of some length")
    address = address.format(tmp_path)
    found = address_problem(address, SCHEMES)
    assert found is not None
    params = Params.model_validate({"tracking": {"uri": address}, "search": {"storage": address}})
    with pytest.raises(ThawError, match=reason) as caught:
        refuse_unusable_stores(params)
    keys = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert keys == ["tracking.uri", "search.storage"]


def test_the_variable_of_mlflow_is_named_where_the_address_is_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}")
    with pytest.raises(ThawError, match=r"the variable MLFLOW_TRACKING_URI: .* is a folder"):
        refuse_unusable_stores(Params())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path))
    with pytest.raises(ThawError, match="is no address of"):
        refuse_unusable_stores(Params())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    refuse_unusable_stores(Params())


@pytest.mark.parametrize("address", ["", "shared/heads", "/mnt/heads", "s3://bucket", "gs://b/"])
def test_a_folder_or_a_bucket_can_hold_heads(address: str) -> None:
    refuse_unusable_stores(Params.model_validate({"search": {"artifacts": address}}))


@pytest.mark.parametrize(
    "address",
    ["s3://", "s3://bucket/folder", "ftp://host", "http://[::1", "file:///tmp", "a://b?c"],
)
def test_another_address_of_heads_is_refused(address: str) -> None:
    with pytest.raises(ThawError, match=r"search\.artifacts: .* is no (bucket|address)"):
        refuse_unusable_stores(Params.model_validate({"search": {"artifacts": address}}))


def test_a_file_is_no_store_of_heads(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ThawError, match="is a file: name a folder"):
        refuse_unusable_stores(
            Params.model_validate({"search": {"artifacts": str(tmp_path / "file")}})
        )


def test_an_address_with_a_password_gives_a_warning_that_says_where_it_belongs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri, storage = "https://ada:open-sesame@host", "postgresql://host/db?password=open-sesame"
    warn_of_passwords(Params.model_validate({"tracking": {"uri": uri}}))
    warn_of_passwords(Params.model_validate({"search": {"storage": storage}}))
    first, second = capsys.readouterr().err.splitlines()
    assert "tracking.uri contains a password" in first
    assert "MLFLOW_TRACKING_PASSWORD" in first
    assert "search.storage contains a password" in second
    assert "PGPASSWORD" in second
    assert "sesame" not in first + second


def test_addresses_without_a_password_give_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    uri, storage = "https://ada@host:5000/x", "postgresql://ada@host/db"
    sections = {"tracking": {"uri": uri}, "search": {"storage": storage, "artifacts": "s3://b"}}
    warn_of_passwords(Params.model_validate(sections))
    assert capsys.readouterr().err == ""

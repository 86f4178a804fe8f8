from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mlflow.exceptions import MlflowException

from thaw.errors import ThawError
from thaw.registry.aliases import (
    aliases,
    creation_time,
    explain_missing,
    is_missing,
    version_exists,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.promotion.offered import Shop


def test_the_versions_of_all_aliases_are_returned_as_numbers(local: Shop) -> None:
    client, name = local.client, "several-aliases"
    client.create_registered_model(name)
    assert aliases(client, name) == {}
    for alias in ("champion", "staging"):
        number = client.create_model_version(name, source="s3://nowhere/x").version
        client.set_registered_model_alias(name, alias, str(number))
    assert aliases(client, name) == {"champion": 1, "staging": 2}


@pytest.mark.parametrize("function", [aliases, creation_time])
def test_a_model_that_does_not_exist_is_an_error_with_the_next_command(
    local: Shop, function: object
) -> None:
    assert callable(function)
    with pytest.raises(ThawError, match=r"there is no registered model 'absent': .* `dvc repro`"):
        function(local.client, "absent")


def test_in_a_project_with_a_result_the_command_registers_it_without_training(
    local: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports/evaluate").mkdir(parents=True)
    (tmp_path / "reports/evaluate/registered.json").touch()
    command = "`dvc repro --single-item --force evaluate` registers the result"
    assert command in explain_missing(local.client, "absent")


def test_a_deleted_version_does_not_exist(local: Shop) -> None:
    client, name = local.client, "existing-versions"
    client.create_registered_model(name)
    client.create_model_version(name, source="s3://nowhere/x")
    assert version_exists(client, name, 1)
    assert not version_exists(client, name, 2)
    client.delete_model_version(name, "1")
    assert not version_exists(client, name, 1)


def test_of_many_versions_the_newest_are_named(local: Shop) -> None:
    client, name = local.client, "many-versions"
    client.create_registered_model(name)
    assert f"{name} has no alias and no version" in explain_missing(client, name)
    for _ in range(12):
        client.create_model_version(name, source="s3://nowhere/x")
    known = "the versions 12, 11, 10, 9, 8, 7, 6, 5, 4, 3 and 2 earlier ones"
    assert known in explain_missing(client, name)


def test_a_model_that_is_created_again_has_another_creation_time(local: Shop) -> None:
    client, name = local.client, "created-twice"
    client.create_registered_model(name)
    before = creation_time(client, name)
    client.delete_registered_model(name)
    client.create_registered_model(name)
    assert creation_time(client, name) > before


def test_only_the_error_for_a_missing_entry_counts_as_missing(local: Shop) -> None:
    with pytest.raises(MlflowException) as missing:
        local.client.get_registered_model("absent")
    assert is_missing(missing.value)
    local.client.create_registered_model("created-once")
    with pytest.raises(MlflowException) as exists:
        local.client.create_registered_model("created-once")
    assert not is_missing(exists.value)

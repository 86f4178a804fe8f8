from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow.utils import requirements_utils

from thaw.registry.requirement_checks import package_files_unlisted

if TYPE_CHECKING:
    import pytest

NAME = "_MODULES_TO_PACKAGES"


def test_the_list_of_package_files_is_empty_for_the_time_of_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requirements_utils, NAME, None)
    with package_files_unlisted():
        assert requirements_utils._MODULES_TO_PACKAGES == {}
    assert requirements_utils._MODULES_TO_PACKAGES is None


def test_a_list_of_package_files_that_was_made_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"torch": ["torch"]}
    monkeypatch.setattr(requirements_utils, NAME, made)
    with package_files_unlisted():
        assert requirements_utils._MODULES_TO_PACKAGES is made


def test_a_version_of_mlflow_without_the_list_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(requirements_utils, NAME)
    with package_files_unlisted():
        assert NAME not in vars(requirements_utils)
    assert NAME not in vars(requirements_utils)

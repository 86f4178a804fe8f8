from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import thaw
from tests.evaluation.page import example
from thaw.evaluation.page.origin_section import commands_section, now, origin_section
from thaw.system import provenance

if TYPE_CHECKING:
    from thaw.evaluation.page.subject import Subject


def test_the_origin_names_digests_versions_and_changed_parameters(project: Subject) -> None:
    section = origin_section(project, example.REGISTRATION)
    entries = section["entries"]
    assert entries["Registered version"] == "models:/flowers/1"
    assert entries["Data digest"] == project.data.manifest.digest
    assert entries["Model digest"] == project.spec.digest
    assert entries["thaw"] == thaw.__version__
    assert section["parameters"]["data.source"] == "digits"


def test_the_commands_name_the_registered_version() -> None:
    text = "\n".join(each["commands"] for each in commands_section(example.REGISTRATION))
    for part in ("thaw serve models:/flowers/1", "thaw predict models:/flowers/1", "dvc repro"):
        assert part in text


@pytest.mark.parametrize("dirty", [False, True])
def test_changes_that_are_not_in_the_commit_are_named(
    monkeypatch: pytest.MonkeyPatch, dirty: bool
) -> None:
    monkeypatch.setattr(provenance, "git_state", lambda: ("a" * 40, dirty))
    text = commands_section(example.REGISTRATION)[0]["commands"]
    assert f"git checkout {'a' * 40}" in text
    assert ("not committed when this result was made" in text) == dirty


def test_the_time_is_in_utc() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", now())

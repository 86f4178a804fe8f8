from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.damage import KINDS, rotten
from tests.model.test_directory import made
from thaw.errors import ThawError
from thaw.model import directory
from thaw.model.sealed_files import SPEC
from thaw.stages import earlier_models

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of a stage, with a file of the user beside it."""
    folder = tmp_path_factory.mktemp("models") / "unfreeze"
    directory.save(*made(), folder)
    (folder / "notes.txt").write_text("of the user")
    return folder


def test_the_model_of_a_stage_is_read_and_files_of_the_user_are_ignored(folder: Path) -> None:
    _, spec = earlier_models.load(folder)
    assert earlier_models.read_spec(folder) == spec


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [SPEC, directory.WEIGHTS])
def test_damage_is_named_with_the_command_that_repairs_it(
    folder: Path, name: str, kind: str
) -> None:
    _, expected = earlier_models.load(folder)
    message = ""
    with rotten(folder / name, kind):
        try:
            _, spec = earlier_models.load(folder)
        except ThawError as error:
            message = str(error)
    if not message and name == SPEC:  # white space of JSON
        assert spec == expected
    else:
        assert name in message
        assert message.endswith("; run `thaw repair`, then `dvc repro`")


def test_a_damaged_spec_is_named_before_the_stage_starts(folder: Path) -> None:
    with (
        rotten(folder / SPEC, "cut 0.5"),
        pytest.raises(ThawError, match=r"model\.json.*`thaw repair`"),
    ):
        earlier_models.read_spec(folder)

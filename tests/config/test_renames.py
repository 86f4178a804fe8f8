from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.project import ROOT
from thaw.config.editing import renamed_text
from thaw.config.loading import load
from thaw.config.parameter import parameters
from thaw.config.parameter_values import with_values
from thaw.config.params import Params
from thaw.config.renames import RENAMED, Rename, apply_renames, find_renames
from thaw.config.result_values import result_values
from thaw.errors import ThawError

if TYPE_CHECKING:
    from pathlib import Path


def test_every_new_name_exists_and_no_old_one_does() -> None:
    keys = {parameter.key for parameter in parameters(Params)}
    assert set(RENAMED.values()) <= keys
    assert not set(RENAMED) & keys


def test_renamed_keys_move_to_their_new_place() -> None:
    content = {"launch": {"workers": 2, "threads": 1}}
    renames = [Rename("launch.workers", "resources.workers")]
    assert find_renames(content) == renames
    assert apply_renames(content) == renames
    assert content == {"launch": {"threads": 1}, "resources": {"workers": 2}}
    assert apply_renames(content) == []


@pytest.mark.parametrize(("old", "new"), [("no", "auto"), ("bf16", "bf16"), ("fp16", "fp16")])
def test_values_of_mixed_precision_are_values_of_precision(
    tmp_path: Path, old: str, new: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f'launch:\n  mixed_precision: "{old}"  # on our GPUs\n')
    assert load(Params, path).launch.precision == new
    path.write_text(renamed_text(path.read_text()))
    assert re.search(rf'^  precision: "?{new}"? +# on our GPUs$', path.read_text(), re.MULTILINE)
    assert load(Params, path).launch.precision == new


def test_a_renamed_parameter_keeps_its_part_of_the_digest_of_a_result() -> None:
    params = Params.model_validate({"launch": {"precision": "bf16"}})
    assert result_values(params) == {"launch.mixed_precision": "bf16"}


def test_an_old_and_a_new_name_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("launch:\n  workers: 2\nresources:\n  workers: 3\n")
    with pytest.raises(ThawError, match=r"params\.yaml: launch\.workers was renamed to resources"):
        load(Params, path)


def test_a_full_file_of_an_earlier_version_loads_and_means_the_same() -> None:
    earlier = load(Params, ROOT / "tests/golden/params.yaml")
    now = load(Params, ROOT / "params.yaml")
    assert (earlier.regularize.calibration, now.regularize.calibration) == ("off", "auto")
    assert earlier == with_values(now, {"regularize.calibration": "off"})


def test_a_file_with_an_old_name_loads_with_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("launch:\n  workers: 2\n")
    assert load(Params, path) == load(Params, path)
    assert load(Params, path).resources.workers == 2
    warning = capsys.readouterr().err
    assert warning.count("launch.workers was renamed to resources.workers") == 1
    assert "`thaw upgrade`" in warning

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.verbs import edit
from thaw.cli import checked_model
from thaw.cli.early_checks import try_changed_model, try_model
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.system.code_digests import code_digests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL = {"backbone": {"name": "lenet5", "weights": "none", "image_size": 32}}


def small(**sections: dict[str, object]) -> Params:
    return Params.model_validate({**SMALL, **sections})


def test_a_model_that_was_tried_is_known_until_a_parameter_changes(project: Path) -> None:
    assert not checked_model.is_known(small())
    try_model(small())
    assert checked_model.is_known(small())
    assert not checked_model.is_known(small(unfreeze={"depth": 1}))
    try_changed_model(small(unfreeze={"depth": 1}))
    assert checked_model.is_known(small(unfreeze={"depth": 1}))


def test_a_refused_model_is_tried_again(project: Path) -> None:
    for _ in range(2):
        with pytest.raises(ThawError, match=r"unfreeze\.depth: 90 is more than"):
            try_changed_model(small(unfreeze={"depth": 90}))


def test_a_file_of_weights_that_has_gone_is_missed(project: Path) -> None:
    weights = project / "own.safetensors"
    weights.write_bytes(b"weights")
    params = small(backbone={**SMALL["backbone"], "weights": str(weights)})
    try_model(params)
    assert checked_model.is_known(params)
    weights.unlink()
    with pytest.raises(ThawError, match=r"there is no file .*own\.safetensors"):
        try_changed_model(params)


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(checked_model, "total_memory", lambda: 1),
        lambda patch: patch.setenv("CUDA_VISIBLE_DEVICES", "7"),
        lambda patch: patch.setitem(code_digests(), "dry_run", "other code"),
    ],
    ids=["memory", "GPUs", "code"],
)
def test_a_model_is_tried_again_on_another_machine_or_by_other_code(
    change: Callable[[pytest.MonkeyPatch], None], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_model(small())
    change(monkeypatch)
    assert not checked_model.is_known(small())


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"another key"])
def test_a_damaged_note_is_no_note(content: bytes, project: Path) -> None:
    note = project / ".thaw" / "checked_model"
    note.parent.mkdir()
    note.write_bytes(content)
    assert not checked_model.is_known(small())


def test_a_project_that_cannot_be_written_is_tried_each_time(project: Path) -> None:
    (project / ".thaw").write_text("a file in place of the folder")
    try_model(small())
    assert not checked_model.is_known(small())


@pytest.mark.slow
def test_prepare_does_not_import_torch_to_try_the_same_model_again(project: Path) -> None:
    for old, new in (
        ("name: timm/tf_efficientnet_lite0", "name: lenet5"),
        ("weights: packaged", "weights: none"),
        ("  depth: 9 ", "  depth: 2 "),
    ):
        edit(project / "params.yaml", old, new)
    code = (
        "import sys; from thaw.cli.early_checks import *;"
        "from thaw.cli.project_folder import load_params; params = load_params();"
        "refuse_unusable_parameters(params); try_changed_model(params);"
        "print('torch' in sys.modules)"
    )
    found = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        for _ in range(2)
    ]
    assert [each.stdout + each.stderr for each in found] == ["True\n", "False\n"]

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from tests import settings
from tests.damage import KINDS, rotten
from thaw.config.parameter_values import with_values
from thaw.search.trained_heads import head_path, load_head, save_head
from thaw.system import tool_lock

if TYPE_CHECKING:
    from pathlib import Path


def test_a_saved_head_is_read_back(tmp_path: Path) -> None:
    head = nn.Linear(3, 2)
    save_head(tmp_path / "head.safetensors", head)
    state = load_head(tmp_path / "head.safetensors")
    assert state is not None
    assert all(torch.equal(state[key], value) for key, value in head.state_dict().items())


def test_a_missing_file_has_no_head(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    assert load_head(path) is None
    save_head(path, nn.Linear(3, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_has_no_head(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "head.safetensors"
    save_head(path, nn.Linear(3, 2))
    with rotten(path, kind):
        assert load_head(path) is None
    assert load_head(path) is not None


def test_the_file_depends_on_what_the_head_warm_up_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    def path(values: dict[str, object], data: str = "data") -> Path:
        return head_path(with_values(settings.PARAMS, values), data, "backbone")

    same = path({})
    assert same == path({"unfreeze.lr": 0.5, "unfreeze.depth": 1})
    others = [path({}, "other"), path({"warmup_head.lr": 0.5}), path({"seed": 9})]
    assert len({same, *others}) == 4
    monkeypatch.setattr(tool_lock, "version", lambda _: "999.0")
    assert path({}) != same  # another timm may compute other heads

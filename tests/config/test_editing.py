from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.project import ROOT
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.values import flatten
from thaw.errors import ThawError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    return path


@pytest.mark.parametrize(
    ("key", "value", "written"),
    [
        ("unfreeze.lr", 3e-5, "  lr: 0.00003  "),
        ("unfreeze.lr", 3e-11, "  lr: 0.00000000003  "),
        ("unfreeze.lr", 0.00012345678901234567, "  lr: 0.00012345678901234567  "),
        ("unfreeze.lr", 1.2345678901234e-5, "  lr: 0.000012345678901234  "),
        ("prepare.max_megapixels", 1e2, "  max_megapixels: 100.0  "),
        ("unfreeze.lr", 0.25, "  lr: 0.25  "),
        ("unfreeze.depth", "auto", "  depth: auto  "),
        ("unfreeze.depth", 12, "  depth: 12  "),
        ("head.taps", [3, 9], "  taps: [3, 9]  "),
        ("fold_bn.recalibrate", True, "  recalibrate: true  "),
        ("launch.mixed_precision", "no", '  mixed_precision: "no"  '),
        ("data.path", "a folder/with: a colon", '  path: "a folder/with: a colon"'),
        ("seed", 7, "seed: 7  "),
    ],
)
def test_a_value_changes_and_nothing_else(params: Path, key: str, value: Any, written: str) -> None:
    before = params.read_text().splitlines()
    write_values({key: value}, params)
    after = params.read_text().splitlines()
    assert len(after) == len(before)
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) <= 1
    assert any(line.startswith(written.rstrip()) for line in after)
    for old, new in changed:
        assert old.partition("#")[2] == new.partition("#")[2]  # the comment
        room = len(new.partition("#")[0].rstrip()) < old.find("#")
        assert not room or new.find("#") == old.find("#")  # in its column
    assert str(flatten(load(Params, params))[key]) == str(value)


def test_several_at_once_and_the_ones_that_changed_are_named(params: Path) -> None:
    values = {"unfreeze.lr": 0.5, "head.hidden": [64, 32], "seed": 0, "warmup_head.lr": 0.1}
    assert write_values(values, params) == ["unfreeze.lr", "head.hidden", "warmup_head.lr"]
    loaded = load(Params, params)
    assert (loaded.unfreeze.lr, loaded.head.hidden, loaded.warmup_head.lr) == (0.5, [64, 32], 0.1)


def test_what_is_there_already_leaves_the_file_as_it_is(params: Path) -> None:
    before = params.read_bytes()
    assert write_values({"seed": 0, "head.taps": []}, params) == []
    assert params.read_bytes() == before


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"unfreeze.lrr": 1.0}, r"there is no unfreeze\.lrr"),
        ({"unfreeze.lr.x": 1.0}, r"there is no unfreeze\.lr\.x"),
        ({"unfreeze.lr": -1.0}, r"params\.yaml: unfreeze\.lr: .*greater than 0"),
        ({"seed": 1, "unfreeze.depth": "all"}, r"params\.yaml: unfreeze\.depth"),
    ],
)
def test_a_mistake_writes_nothing(params: Path, values: dict[str, Any], reason: str) -> None:
    before = params.read_bytes()
    with pytest.raises(ThawError, match=reason):
        write_values(values, params)
    assert params.read_bytes() == before
    assert [path.name for path in params.parent.iterdir()] == ["params.yaml"]

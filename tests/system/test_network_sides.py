from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.system import network_sides, project_paths
from thaw.system.network_sides import NetworkSides

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_sides_of_the_recorded_backbone_are_known() -> None:
    assert network_sides.recorded("timm/a") is None
    network_sides.record("timm/a", NetworkSides(224, 352))
    assert network_sides.recorded("timm/a") == (224, 352)
    assert network_sides.recorded("timm/b") is None


@pytest.mark.parametrize("content", ["", "[]", '{"backbone": "timm/a"}', "{"])
def test_a_damaged_record_is_none(content: str) -> None:
    network_sides.record("timm/a", NetworkSides(224, 352))
    (project_paths.SCRATCH / "network_sides.json").write_text(content)
    assert network_sides.recorded("timm/a") is None

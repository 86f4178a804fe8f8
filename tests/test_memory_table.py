from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.data.peak import environment
from tests.project import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_thin_and_truncated_files_stay_below_the_limit_in_each_way(tmp_path: Path) -> None:
    Image.new("L", (1, 200_000)).save(tmp_path / "thin.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "thin.png").read_bytes()[:60])
    found = subprocess.run(
        [sys.executable, "-m", "tests.memory_table", str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    for way in ("serve", "predict", "prepare"):
        assert f"{way}: 2 files, highest and longest:" in found.stdout
    assert "400 " in found.stdout

from __future__ import annotations

from typing import TYPE_CHECKING

from tests import settings
from tests.registry.test_stored_results import write_reports
from tests.stages import small
from thaw.registry.comparing import PAGE, compare_results

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_two_folders_are_compared_on_a_page_with_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small.prepare(["test", "train"])  # it has an image with the name 1.png
    write_reports(tmp_path / "a")
    write_reports(tmp_path / "b")
    (tmp_path / "b/params.yaml").write_text("seed: 8\n")
    (tmp_path / "b/reports/evaluate/predictions.csv").write_text(
        "path,label,p_cat,p_dog\n1.png,cat,0.25,0.75\n"
    )
    content = compare_results("a", "b", settings.PARAMS.tracking)
    assert content["names"] == ["a", "b"]
    assert content["counts"]["only_first"] == 1
    page = PAGE.read_text()
    assert 'alt="1.png"' in page
    assert "data:image/webp" in page
    assert "default-src 'none'" in page

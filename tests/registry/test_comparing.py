from __future__ import annotations

from typing import TYPE_CHECKING

from tests import settings
from tests.registry.test_stored_results import write_reports
from tests.stages import small
from thaw.registry.comparing import PAGE, compare_results, show

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_two_folders_are_compared_in_the_terminal_and_on_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small.prepare(["test", "train"])  # it has an image with the name 1.png
    write_reports(tmp_path / "a")
    write_reports(tmp_path / "b")
    (tmp_path / "b/params.yaml").write_text("seed: 8\n")
    (tmp_path / "b/reports/evaluate/predictions.csv").write_text(
        "path,label,p_cat,p_dog\n1.png,cat,0.25,0.75\n"
    )
    show(compare_results("a", "b", settings.PARAMS.tracking))
    printed = capsys.readouterr().out
    for part in ("A: a", "B: b", "accuracy", "seed: 7 -> 8", "only A is right on 1", str(PAGE)):
        assert part in printed
    page = PAGE.read_text()
    assert 'alt="1.png"' in page
    assert "data:image/webp" in page
    assert "default-src 'none'" in page

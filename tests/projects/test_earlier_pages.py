from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.projects import earlier_pages
from thaw.system.files import write_json
from thaw.system.project_paths import REPORTS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_result_without_a_page_gets_one_that_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert earlier_pages.missing_pages() == []  # no result
    registered = {"run_id": "1", "name": "flowers", "version": 4, "alias": "champion"}
    write_json(REPORTS / "evaluate" / "registered.json", registered)
    write_json(REPORTS / "evaluate" / "metrics.json", {"test": {"accuracy": 1.0}})
    path, card = earlier_pages.missing_pages()
    earlier_pages.write_missing_pages()
    page = path.read_text()
    assert "flowers version 4" in page
    assert "<code>dvc repro --single-item --force evaluate</code>" in page
    assert card.read_text().startswith("# flowers version 4")
    assert earlier_pages.missing_pages() == []
    path.write_text("my page")
    earlier_pages.write_missing_pages()
    assert path.read_text() == "my page"


def test_a_damaged_result_gets_a_page_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("registered.json", "metrics.json"):
        path = REPORTS / "evaluate" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
    earlier_pages.write_missing_pages()
    assert "dvc repro --single-item --force evaluate" in (REPORTS / "index.html").read_text()

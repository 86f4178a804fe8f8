from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.evaluation.page import example
from thaw.evaluation.page import render
from thaw.evaluation.page.content import complete, measure

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from thaw.evaluation.page.subject import Subject


@pytest.fixture(scope="module")
def content(project: Subject) -> dict[str, Any]:
    return complete(measure(project), project, example.REGISTRATION)


@pytest.mark.slow
def test_the_page_is_one_file_that_loads_nothing(content: dict[str, Any], tmp_path: Path) -> None:
    render.write_page(content, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    addresses = re.findall(
        r"""(?:src|href)=["']([^"']*)["']""", re.sub(r"(?s)<script.*?</script>", "", page)
    )
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "default-src 'none'" in page
    assert "<h1>flowers " in page
    assert len(page) < 2_000_000


def test_the_diagrams_get_the_content_without_its_pictures(content: dict[str, Any]) -> None:
    page = render.render("page.html.jinja", content)
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', page)
    assert found
    drawn = json.loads(found[1])
    assert drawn["test"] == content["test"]
    assert "data:image" not in found[1]


def test_names_of_classes_and_files_are_text_and_no_code(content: dict[str, Any]) -> None:
    evil = "</script><script>alert(1)</script>"
    test = {**content["test"], "rows": [{**row, "class": evil} for row in content["test"]["rows"]]}
    page = render.render("page.html.jinja", {**content, "name": evil, "test": test})
    assert evil not in page
    assert "&lt;/script&gt;" in page


def test_names_that_are_no_unicode_text_are_written(
    content: dict[str, Any], tmp_path: Path
) -> None:
    render.write_page({**content, "classes": ["caf\udce9", "b"]}, tmp_path / "index.html")
    assert r"caf\udce9" in (tmp_path / "index.html").read_text()


def test_a_note_is_a_page_of_one_sentence(tmp_path: Path) -> None:
    render.write_note("flowers", "Run `dvc repro` <now>.", tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert "Run <code>dvc repro</code> &lt;now&gt;." in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [(render.percent(0.9926), "99.3 %"), (render.percent(None), "-"),
     (render.number(1234), "1,234"), (render.number(0.12345), "0.123"), (render.number(None), "-"),
     (render.title_case("macro F1"), "Macro F1")],
)  # fmt: skip
def test_numbers_are_written_as_people_read_them(text: str, expected: str) -> None:
    assert text == expected

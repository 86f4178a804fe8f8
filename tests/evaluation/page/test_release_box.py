from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.evaluation.page import example
from thaw.evaluation.page.content import complete, measure
from thaw.evaluation.page.release_box import Release, with_release
from thaw.evaluation.page.render import render

if TYPE_CHECKING:
    from thaw.evaluation.page.subject import Subject

REFUSED = Release(released=False, label="Refused", reason="by `thaw`", note="now", version=2)
RELEASED = replace(REFUSED, released=True, label="Released as champion")
RULES = [
    {"name": "not_worse", "passed": True, "sentence": "accuracy did not fall"},
    {"name": "data", "passed": False, "sentence": "other <data>: run `dvc repro`"},
]
# As pages of earlier versions have it, without marks.
UNMARKED = (
    "<h3>Compare the version with the champion; release it if the gate passes</h3>\n"
    '<pre tabindex="0"><code>thaw promote 2</code></pre>\n'
)


def page(content: str) -> str:
    return f"<header>\n{content}</header>\n<p>after</p>"


def test_the_box_is_replaced_again_and_again_and_nothing_else() -> None:
    old = page('<p class="release"><strong>Not released</strong> <span>Not compared.</span></p>\n')
    for release in (REFUSED, RELEASED):
        new = with_release(old, release.as_json())
        assert new is not None
        assert new.startswith("<header>\n<!-- release -->")
        assert new.endswith("<!-- /release -->\n</header>\n<p>after</p>")
        assert "Not compared" not in new
        assert new.count("<strong>") == 1
        assert f"<strong>{release.label}</strong> <span>by <code>thaw</code> now" in new
        assert ('class="release yes"' in new) is release.released
        old = new
    assert "Refused" not in old


@pytest.mark.slow
def test_the_command_to_promote_is_there_while_the_version_is_not_released(
    project: Subject,
) -> None:
    registration = replace(example.REGISTRATION, version=2, alias="challenger")
    content = complete(measure(project), project, registration)
    written = render("page.html.jinja", content)
    assert written.count("<code>thaw promote 2</code></pre>") == 1
    released = with_release(written, RELEASED.as_json()) or ""
    assert "thaw promote" not in released
    again = with_release(released, REFUSED.as_json()) or ""
    assert again.partition('id="use"')[2] == written.partition('id="use"')[2]
    champion = complete(content, project, replace(registration, alias="champion"))
    assert "thaw promote" not in render("page.html.jinja", champion)


def test_a_page_of_an_earlier_version_loses_the_command_when_its_version_is_released() -> None:
    old = page(f'<p class="release">x</p>\n{UNMARKED}')
    assert "thaw promote" not in (with_release(old, RELEASED.as_json()) or "thaw promote")
    refused = with_release(old, REFUSED.as_json()) or ""
    assert f"<!-- promote -->\n{UNMARKED}<!-- /promote -->\n</header>" in refused


@pytest.mark.parametrize("count", [1, 2])
def test_the_rules_are_listed_and_shown_where_one_failed(count: int) -> None:
    content = replace(REFUSED, decided="2026-01-01", rules=RULES[:count]).as_json()
    found = with_release(page('<p class="release">x</p>'), content)
    assert found is not None
    assert f"Gate of 2026-01-01: 1 of {count} rules passed" in found
    assert "passed: not_worse</strong> accuracy did not fall" in found
    assert ("failed: data</strong> other &lt;data&gt;: run <code>dvc repro</code>" in found) is (
        count == 2
    )
    assert ('<details class="gate" open>' in found) is (count == 2)


def test_a_page_without_a_box_is_not_changed() -> None:
    note = "<p>There is no report page: evaluate.report is off.</p>"
    assert with_release(note, REFUSED.as_json()) is None

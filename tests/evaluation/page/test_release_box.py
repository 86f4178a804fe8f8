from __future__ import annotations

import pytest

from thaw.evaluation.page.release_box import box, with_box

RULES = [
    {"name": "not_worse", "passed": True, "sentence": "accuracy did not fall"},
    {"name": "data", "passed": False, "sentence": "other <data>: run `dvc repro`"},
]


def page(content: str) -> str:
    return f"<header>\n{content}</header>\n<p>after</p>"


def test_the_box_is_replaced_again_and_again_and_nothing_else() -> None:
    old = page('<p class="release"><strong>Not released</strong> <span>Not compared.</span></p>\n')
    for label, released in (("Refused", False), ("Released as champion", True)):
        new = with_box(old, box(released=released, label=label, reason="by `thaw`", note="now"))
        assert new is not None
        assert new.startswith("<header>\n<!-- release -->")
        assert new.endswith("<!-- /release -->\n</header>\n<p>after</p>")
        assert "Not compared" not in new
        assert new.count("<strong>") == 1
        assert f"<strong>{label}</strong> <span>by <code>thaw</code> now" in new
        assert ('class="release yes"' in new) is released
        old = new
    assert "Refused" not in old


@pytest.mark.parametrize("count", [1, 2])
def test_the_rules_are_listed_and_shown_where_one_failed(count: int) -> None:
    content = box(
        released=False, label="L", reason="R", note="N", decided="2026-01-01", rules=RULES[:count]
    )
    found = with_box(page('<p class="release">x</p>'), content)
    assert found is not None
    assert f"Gate of 2026-01-01: 1 of {count} rules passed" in found
    assert "passed: not_worse</strong> accuracy did not fall" in found
    assert ("failed: data</strong> other &lt;data&gt;: run <code>dvc repro</code>" in found) is (
        count == 2
    )
    assert ('<details class="gate" open>' in found) is (count == 2)


def test_a_page_without_a_box_is_not_changed() -> None:
    content = box(released=False, label="L", reason="R", note="N")
    assert with_box("<p>There is no report page: evaluate.report is off.</p>", content) is None

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.evaluation.page import example
from thaw.evaluation.page.content import complete, measure, release

if TYPE_CHECKING:
    from thaw.evaluation.page.subject import Subject


def test_the_content_is_plain_data(project: Subject) -> None:
    content = complete(measure(project), project, example.REGISTRATION)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert (content["name"], content["version"]) == ("flowers", 1)
    assert content["test_images"] == 15
    assert content["depth"] is None  # nothing was probed


def test_the_release_says_what_the_next_step_is() -> None:
    first = release(example.REGISTRATION)
    assert first.released
    assert "first version" in first.reason
    later = release(replace(example.REGISTRATION, version=3, alias="challenger"))
    assert not later.released
    assert "thaw promote 3" in later.reason
    refused = release(
        replace(example.REGISTRATION, version=3, alias="challenger", verdict="refused")
    )
    assert "The gate's last answer was: refused." in refused.reason
    assert "has not compared" not in refused.reason
    same = release(replace(example.REGISTRATION, is_new=False))
    assert same.released
    assert "This run made the model of version 1 again. Version 1 is the champion." in same.reason

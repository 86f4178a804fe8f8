from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.evaluation.page import example
from thaw.evaluation.page.content import complete, measure, missed_limits, release
from thaw.evaluation.page.render import environment

if TYPE_CHECKING:
    from thaw.evaluation.page.subject import Subject


def test_the_content_is_plain_data(project: Subject) -> None:
    content = complete(measure(project), project, example.REGISTRATION)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert (content["name"], content["version"]) == ("flowers", 1)
    assert content["test_images"] == 15
    assert content["depth"] is None  # nothing was probed
    share = np.bincount(project.result.targets).max() / 15
    assert content["largest_class"]["share"] == pytest.approx(share)


def test_a_first_version_names_the_limits_of_the_gate_that_it_misses(project: Subject) -> None:
    scores = project.result.scores.summary
    limits = {
        "floors": {"accuracy": scores["accuracy"] + 0.01, "macro_f1": 0.0},
        "ceilings": {"ece": scores["ece"] - 0.001, "log_loss": 100.0, "latency_ms": 0.0},
    }
    rules = project.params.promote.model_copy(update=limits)
    params = project.params.model_copy(update={"promote": rules})
    missed = missed_limits(replace(project, params=params))
    assert [each.partition(" (")[2].split()[0] for each in missed] == ["floor", "ceiling"]
    box = release(example.REGISTRATION, missed)
    assert box.reason.endswith(f"The gate would refuse it as a later one: {', '.join(missed)}.")
    assert box.label == "Released, limits missed"
    page = environment().get_template("release.html.jinja").render(release=box.as_json())
    assert 'class="release"' in page  # in the colour of a warning


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

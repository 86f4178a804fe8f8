from __future__ import annotations

from thaw.projects.finding import Finding, State


def test_a_fact_without_a_problem_needs_no_remedy() -> None:
    assert Finding("disk", State.OK, "47 GB free").remedy == ""

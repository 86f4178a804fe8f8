from __future__ import annotations

from thaw.errors import ProblemsError, ThawError


def test_several_problems_are_listed_one_per_line_below_their_number() -> None:
    error = ProblemsError("the images cannot be prepared", ["a.png is empty", "b.png is no image"])
    assert str(error).splitlines() == [
        "the images cannot be prepared (2 problems):",
        "  - a.png is empty",
        "  - b.png is no image",
    ]
    assert error.problems == ["a.png is empty", "b.png is no image"]


def test_one_problem_is_counted_in_the_singular() -> None:
    assert str(ProblemsError("params.yaml", ["x"])).startswith("params.yaml (1 problem):")


def test_listed_problems_are_handled_like_any_mistake_of_the_user() -> None:
    assert issubclass(ProblemsError, ThawError)

from __future__ import annotations

from thaw.errors import ProblemsError, ThawError, grouped, printable


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


def test_control_characters_are_escaped_for_a_terminal_and_line_ends_stay() -> None:
    assert printable("é \U0001f9ca\nb") == "é \U0001f9ca\nb"
    assert str(ThawError("no \x1b[31m")) == r"no \x1b[31m"
    assert printable("a\x1b[31m\t\r\u202e\x85") == r"a\x1b[31m\t\r\u202e\x85"


def test_listed_problems_are_handled_like_any_mistake_of_the_user() -> None:
    assert issubclass(ProblemsError, ThawError)


def test_of_many_problems_of_one_kind_some_are_listed_and_all_are_kept() -> None:
    links = [f"raw/{number}: a link to a folder" for number in range(3271)]
    sizes = [f"raw/{number}.png: {number} x 1 pixels" for number in range(7)]
    error = ProblemsError("no", [*links, "raw/x.png: the file is empty", *sizes], "do this")
    assert len(error.problems) == 3271 + 1 + 7
    assert str(error).splitlines() == [
        "no (3279 problems):",
        "  - raw/0: a link to a folder",
        "  - raw/1: a link to a folder",
        "  - raw/2: a link to a folder",
        "  - and 3,268 more of this kind",
        "  - raw/x.png: the file is empty",
        "  - raw/0.png: 0 x 1 pixels",
        "  - raw/1.png: 1 x 1 pixels",
        "  - raw/2.png: 2 x 1 pixels",
        "  - and 4 more of this kind",
        "do this",
    ]


def test_a_reason_before_the_places_is_a_kind_as_well() -> None:
    lines = grouped(f"equal images: {chr(97 + number)}.png" for number in range(9))
    assert lines[-1] == "and 6 more of this kind"
    assert len(grouped(["a.png: x", "a.png: y", "b.png: x"])) == 3


def test_the_number_of_kinds_is_limited() -> None:
    words = [f"{chr(97 + one)}{chr(97 + two)}" for one in range(20) for two in range(20)]
    lines = grouped([f"{word}.png: {word}" for word in words])
    assert len(lines) == 31
    assert lines[-1] == "and 370 more of 370 other kinds"

from __future__ import annotations

import pytest

from thaw.errors import ProblemsError, ThawError, grouped, printable, without_passwords


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


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://ada:open-sesame@host:5000/x", "http://ada:***@host:5000/x"),
        ("https://:open-sesame@host", "https://:***@host"),
        ("http://ada:open@sesame@host", "http://ada:***@host"),
        ("postgresql+psycopg://ada:open/sesame@host/db", "postgresql+psycopg://ada:***@host/db"),
        ("htpps:/x, postgresql://ada:open-sesame@host:port/db", None),
        ("postgresql://host/db?user=ada&password=open-sesame", None),
        ("https://host/0.tar?X-Amz-Credential=sesame&X-Amz-Signature=sesame", None),
    ],
)
def test_messages_do_not_contain_the_passwords_of_addresses(
    address: str, shown: str | None
) -> None:
    message = str(ThawError(f"the store '{address}' and {address} do not answer"))
    assert "sesame" not in message
    assert message.endswith(" do not answer")
    assert shown is None or message == f"the store '{shown}' and {shown} do not answer"


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/#/models/x@champion",
        "models:/x@champion",
        "http://ada@host/x?page=2",
        "12:30, me@host",
    ],
)
def test_addresses_without_a_password_stay_as_they_are(text: str) -> None:
    assert without_passwords(text) == text


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

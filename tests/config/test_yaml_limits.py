from __future__ import annotations

from pathlib import Path

import pytest

from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.yaml_limits import MOST_CHARACTERS, excess
from thaw.errors import ThawError

BOMB = "l0: &l0 [x, x]\n" + "".join(
    f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 10)}]\n" for level in range(1, 12)
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: " + "[" * 1000 + "]" * 1000, "nested more than 29 deep"),
        ("a: " + "[" * 90_000, "nested more than 29 deep"),
        ("{a: " * 1000 + "1" + "}" * 1000, "nested more than 29 deep"),
        (BOMB, "more than 20,000 values, aliases written out"),
        ("a: [" + "1, " * 21_000 + "1]", "more than 20,000 values"),
        ("a: &a [*a]", "the alias *a is inside of what it refers to"),
        ("# " + "x" * MOST_CHARACTERS, "more than 100,000 characters"),
    ],
)
def test_a_file_beyond_a_limit_is_refused_before_it_is_built(
    tmp_path: Path, text: str, reason: str
) -> None:
    assert reason in excess(text)
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(
        ThawError, match="params.yaml: it " if reason[0] != "t" else "params.yaml: "
    ):
        load(Params, path)


def test_a_file_of_many_gigabytes_is_read_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # takes no place on the disk
    with pytest.raises(ThawError, match=r"params.yaml: it has more than 100,000 characters"):
        load(Params, path)


def test_an_endless_device_is_refused() -> None:
    with pytest.raises(ThawError, match="/dev/zero cannot be read: it is not a file"):
        load(Params, Path("/dev/zero"))


@pytest.mark.parametrize("text", ["seed: 0\n", "a: &a [1]\nb: *a\nc: {<<: {x: *a}}\n", "a: [", ""])
def test_other_files_are_left_to_the_parser(text: str) -> None:
    assert excess(text) == ""

from __future__ import annotations

import pytest

from thaw.system.conflict_markers import conflict


@pytest.mark.parametrize("marker", ["<<<<<<< ours", "=======", ">>>>>>> theirs"])
def test_the_line_of_the_first_marker_is_named(marker: str) -> None:
    text = f"a: 1\nb: 2\n{marker}\n=======\n"
    assert conflict(text) == " (line 3 is the marker of a merge conflict)"


@pytest.mark.parametrize("text", ["", "a: 1\n", "a: <<<<<<<\n", "# ======="])
def test_a_file_without_markers_has_no_conflict(text: str) -> None:
    assert conflict(text) == ""

from __future__ import annotations

from pathlib import Path

import pytest

from thaw.errors import ThawError
from thaw.system.writable_outputs import refuse_unwritable


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("file/x.png", r"created in .*/file: Not a directory"),
        ("file/a/b/x.png", r"created in .*/file: Not a directory"),
        ("/proc/x.png", r"created in /proc: No such file"),
    ],
)
def test_a_folder_that_takes_no_file_is_named(tmp_path: Path, out: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ThawError, match=f"^--picture: .*{out}: no file can be {reason}"):
        refuse_unwritable(tmp_path / out, "--picture")


def test_the_attempt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refuse_unwritable(Path("x.png"), "--out")
    refuse_unwritable(Path("a/b/x.png"), "--out")
    assert list(tmp_path.iterdir()) == []

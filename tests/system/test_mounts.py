from __future__ import annotations

from pathlib import Path

import pytest

from thaw.system import mounts
from thaw.system.mounts import Place, mounts_below, place_of
from thaw.system.path_relations import relation_of

TABLE = r"""
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 254:0 /home/me/project/data/prepared/mine /mnt/mine rw - ext4 /dev/vda rw
31 27 254:0 /home/me/my\040photos /mnt/a\011b rw - ext4 /dev/vda rw
32 27 0:40 / /home/me/project/models rw - tmpfs tmpfs rw
33 27 0:41 / /mnt/mine rw - tmpfs tmpfs rw
damaged
"""


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the system have the mounts in ``TABLE``."""
    path = tmp_path / "mountinfo"
    path.write_text(TABLE)
    monkeypatch.setattr(mounts, "_TABLE", path)
    return path


@pytest.mark.parametrize(
    ("path", "disk", "place"),
    [
        ("/home/me/x", "254:0", "/home/me/x"),
        ("/", "254:0", "/"),
        ("/mnt/a\tb/x.jpg", "254:0", "/home/me/my photos/x.jpg"),
        ("/home/me/project/models/x", "0:40", "/x"),
        ("/mnt/mine", "0:41", "/"),  # the later mount hides the earlier one
    ],
)
def test_a_path_has_a_place_on_its_disk(path: str, disk: str, place: str) -> None:
    assert place_of(Path(path)) == Place(disk, Path(place))


def test_mounts_below_a_folder_are_found() -> None:
    assert mounts_below(Path("/home/me")) == [Path("/home/me/project/models")]
    assert mounts_below(Path("/home/me/project/models")) == []


def test_a_folder_mounted_from_inside_of_another_is_inside_of_it(table: Path) -> None:
    table.write_text("\n".join(TABLE.splitlines()[:-2]))
    prepared, mine = Path("/home/me/project/data/prepared"), Path("/mnt/mine")
    assert relation_of(mine, prepared) == "is inside"
    assert relation_of(prepared, mine) == "contains"
    assert relation_of(mine / "x", prepared / "mine/x") == "is"
    assert relation_of(Path("/mnt/a\tb"), prepared) is None
    assert relation_of(Path("/home/me/project/models"), Path("/home/me/project")) == "is inside"


def test_a_system_without_this_table_has_no_places(table: Path) -> None:
    table.unlink()
    assert place_of(Path("/home")) is None
    assert mounts_below(Path("/")) == []

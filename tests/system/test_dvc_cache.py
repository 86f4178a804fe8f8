from __future__ import annotations

from pathlib import Path

import pytest

from thaw.system.dvc_cache import cache_folder, is_link_into_cache, written_folders


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with an empty .dvc, which is entered."""
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_cache_is_where_dvc_puts_it_by_default(project: Path) -> None:
    assert cache_folder() == project / ".dvc/cache"
    Path(".dvc/config").write_text("[core]\n    analytics = false\n")
    assert cache_folder() == project / ".dvc/cache"


@pytest.mark.parametrize(
    ("named", "folder"), [("/shared/cache", "/shared/cache"), ("../../shared", "../shared")]
)
def test_the_cache_is_where_the_configuration_says(project: Path, named: str, folder: str) -> None:
    text = "[core]\n    analytics = false\n['remote \"x\"']\n    url = s3://%(x)\n"
    Path(".dvc/config").write_text(f"{text}[cache]\n    dir = {named}\n    type = symlink\n")
    assert cache_folder() == (project / folder).resolve()
    Path(".dvc/config.local").write_text("[cache]\n    dir = mine\n")
    assert cache_folder() == project / ".dvc/mine"


@pytest.mark.parametrize("content", [b"[cache", b"x = 1", b"\xff"])
def test_a_damaged_configuration_is_left_to_dvc(project: Path, content: bytes) -> None:
    Path(".dvc/config").write_bytes(content)
    assert cache_folder() == project / ".dvc/cache"


def test_only_links_into_the_cache_count(project: Path) -> None:
    content = project / ".dvc/cache/files/md5/aa/bb"
    content.parent.mkdir(parents=True)
    content.touch()
    for name, target in (("one", content), ("two", project / ".dvc/config"), ("three", "gone")):
        (project / name).symlink_to(target)
    assert [is_link_into_cache(Path(name)) for name in ("one", "two", "three")] == [
        True, False, False
    ]  # fmt: skip
    assert not is_link_into_cache(content)


def test_dvc_writes_in_its_cache_and_in_remotes_of_this_disk(project: Path) -> None:
    assert written_folders() == [project / ".dvc/cache/files", project / ".dvc/cache/runs"]
    Path(".dvc/config").write_text(
        "['remote \"near\"']\n    url = ../../near\n['remote \"far\"']\n    url = s3://far/x\n"
        "['remote \"named\"']\n    url = file:///disk/named\n[cache]\n    dir = /shared\n"
    )
    assert [str(path) for path in written_folders()] == [
        "/shared/files",
        "/shared/runs",
        str(project.parent / "near/files"),
        "/disk/named/files",
    ]

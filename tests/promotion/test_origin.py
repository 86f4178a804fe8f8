from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.promotion.offering import offer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.promotion.offered import Shop


@pytest.mark.parametrize(
    ("tags", "rule"),
    [
        ({"thaw.git_dirty": "true"}, "committed"),
        ({"mlflow.source.git.commit": ""}, "committed"),
        ({"thaw.data_digest": "other"}, "data"),
        ({"thaw.dvc_lock": "other"}, "dvc.lock"),
    ],
)
def test_a_run_of_doubtful_provenance_is_refused(
    local: Shop, tags: dict[str, str], rule: str
) -> None:
    name = f"doubtful-{rule}-{len(str(tags))}"
    local.register(name)
    local.register(name, "same", **tags)
    found = offer(local, name)
    assert [failed.name for failed in found.failed] == [rule]


@pytest.mark.parametrize(("place", "rules"), [(0, ["data/prepared", "test split"]), (-1, [])])
def test_damaged_pixels_fail_the_provenance_rules(
    local: Shop, tmp_path: Path, place: int, rules: list[str]
) -> None:
    name = f"rotten{place}"
    local.register(name)
    local.register(name, "same")
    images = local.prepared / "images.bin"
    stamp, content = images.stat(), images.read_bytes()
    try:
        if rules:
            images.write_bytes(bytes([content[0] ^ 1]) + content[1:])
            os.utime(images, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        found = offer(local, name)
    finally:
        images.write_bytes(content)
    assert sorted(failed.name for failed in found.failed) == rules

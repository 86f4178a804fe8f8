from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.promotion.offering import offer
from thaw.data.integrity import DamagedError
from thaw.data.packed_store import IMAGES, INDEX
from thaw.data.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.promotion.offered import Shop
    from thaw.data.split_names import SplitName


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


@contextmanager
def rotten_image(prepared: Path, split: SplitName) -> Iterator[None]:
    """Flip a bit of the first image of a split while the context is open; DVC notices no change."""
    number = int(Prepared(prepared).manifest.ids(split)[0])
    place = int(np.load(prepared / INDEX)[number, 0])
    images = prepared / IMAGES
    stamp, content = images.stat(), images.read_bytes()
    images.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    os.utime(images, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    try:
        yield
    finally:
        images.write_bytes(content)


def test_damaged_test_images_end_the_gate_with_the_command_that_repairs_them(local: Shop) -> None:
    local.register("rotten-test")
    local.register("rotten-test", "same")
    with (
        rotten_image(local.prepared, "test"),
        pytest.raises(DamagedError, match=r"images\.bin is damaged: image .*`thaw repair`"),
    ):
        offer(local, "rotten-test")
    assert not offer(local, "rotten-test").failed


def test_damaged_training_images_fail_the_rule_on_prepared_data(local: Shop) -> None:
    local.register("rotten-train")
    local.register("rotten-train", "same")
    with rotten_image(local.prepared, "train"):
        found = offer(local, "rotten-train")
    assert [failed.name for failed in found.failed] == ["data/prepared"]

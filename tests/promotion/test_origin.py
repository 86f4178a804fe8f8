from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tests.damage import damaged
from tests.promotion.offering import offer
from thaw.data.packed_store import IMAGES, SETTINGS
from thaw.errors import ThawError
from thaw.promotion import origin
from thaw.system import provenance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.promotion.offered import Shop


@pytest.mark.slow
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


def test_a_store_that_does_not_answer_is_no_missing_run(
    local: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run_id in ("0" * 32, "no run id", "", None):
        assert origin._run(local.client, run_id) is None
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(MlflowException, match="Connection refused"):
        origin._run(MlflowClient("http://127.0.0.1:9"), "0" * 32)


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    """Replace a file while the context is open; its time stays, so that DVC notices no change."""
    stamp, before = path.stat(), path.read_bytes()
    path.write_bytes(content)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    try:
        yield
    finally:
        path.write_bytes(before)


@pytest.mark.slow
def test_damaged_test_images_end_the_gate_with_the_command_that_repairs_them(local: Shop) -> None:
    local.register("rotten")
    local.register("rotten", "same")
    images = local.prepared / IMAGES
    rotten = damaged(images.read_bytes(), "flip 0")
    with (
        changed(images, rotten),
        pytest.raises(ThawError, match=r"images\.bin is damaged: image .*`thaw repair`"),
    ):
        offer(local, "rotten")
    assert not offer(local, "rotten").failed


@pytest.mark.slow
def test_other_changes_of_the_prepared_data_fail_their_rule(local: Shop) -> None:
    local.register("changed")
    local.register("changed", "same")
    settings = local.prepared / SETTINGS
    with changed(settings, settings.read_bytes() + b" "):
        found = offer(local, "changed")
    assert [failed.name for failed in found.failed] == ["data/prepared"]


@pytest.mark.slow
@pytest.mark.parametrize("form", [provenance.lock_digest, provenance.earlier_lock_digest])
def test_a_stage_of_the_user_after_evaluate_does_not_stop_a_promotion(
    local: Shop, form: Callable[[Path], str]
) -> None:
    lock, name = local.folder / "dvc.lock", f"packaged-{form.__name__}"
    content = lock.read_bytes()
    own = content + b"  package:\n    cmd: tar cf model.tar models\n"
    is_locked = form is provenance.earlier_lock_digest  # by the run before, as far as it counts
    with changed(lock, own if is_locked else content):
        local.register(name)
        local.register(name, "same", **{"thaw.dvc_lock": form(lock)})
    with changed(lock, own):
        assert not offer(local, name).failed

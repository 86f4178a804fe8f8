from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from tests.search import project
from thaw.config.parameter_values import with_values
from thaw.errors import ThawError
from thaw.search import trial
from thaw.search.shared_heads import SharedHeads, shared_heads
from thaw.search.trained_heads import FOLDER, load_head, save_head
from thaw.stages import warmup_head

if TYPE_CHECKING:
    from thaw.config.params import Params


class BrokenStore:
    """A store that answers nothing; ``requests`` counts what it was asked."""

    def __init__(self) -> None:
        self.requests = 0

    def open_reader(self, artifact_id: str) -> Any:
        self.requests += 1
        raise ConnectionError(f"no route to {artifact_id[:3]}")

    def write(self, artifact_id: str, content_body: Any) -> None:
        self.requests += 1
        raise ConnectionError(f"no route for {content_body.name}")

    def remove(self, artifact_id: str) -> None:
        raise NotImplementedError


@pytest.fixture
def heads(params: Params, tmp_path: Path) -> SharedHeads:
    """The heads of a new study in a folder."""
    search = project.Search(params)
    found = shared_heads(str(tmp_path / "shared"), search.study, search.storage)
    assert found is not None
    return found


def files(heads: SharedHeads) -> list[Path]:
    return list(heads.store._base_path.iterdir())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "one" / "key.safetensors"
    path.parent.mkdir()
    save_head(path, nn.Linear(3, 2))
    return path


def test_without_an_address_no_heads_are_shared(params: Params) -> None:
    search = project.Search(params)
    assert shared_heads("", search.study, search.storage) is None


def test_another_machine_gets_the_same_weights(
    heads: SharedHeads, saved: Path, tmp_path: Path
) -> None:
    heads.publish(saved)
    other = tmp_path / "two" / saved.name
    assert heads.fetch(other)
    assert other.read_bytes() == saved.read_bytes()
    assert [path.name for path in other.parent.iterdir()] == [other.name]


def test_a_head_that_nobody_has_uploaded_is_not_found(heads: SharedHeads, tmp_path: Path) -> None:
    assert not heads.fetch(tmp_path / "two" / "other.safetensors")


def test_an_existing_file_is_left_as_it_is(heads: SharedHeads, saved: Path, tmp_path: Path) -> None:
    heads.publish(saved)
    saved.write_bytes(b"mine")
    assert heads.fetch(saved)
    assert saved.read_bytes() == b"mine"


def test_a_head_is_uploaded_once(heads: SharedHeads, saved: Path) -> None:
    heads.publish(saved)
    heads.publish(saved)
    assert len(files(heads)) == 1


def test_a_head_that_a_killed_worker_has_listed_without_uploading_it_is_uploaded(
    heads: SharedHeads, saved: Path, tmp_path: Path
) -> None:
    SharedHeads(heads.study, heads.storage, BrokenStore()).publish(saved)
    assert files(heads) == []
    heads.publish(saved)
    other = tmp_path / "two" / saved.name
    assert heads.fetch(other)
    assert other.read_bytes() == saved.read_bytes()


def test_a_head_that_a_killed_worker_has_saved_without_uploading_it_is_uploaded(
    params: Params, tmp_path: Path
) -> None:
    params = with_values(params, {"search.artifacts": str(tmp_path / "shared")})
    search = project.Search(params)
    shared = project.opened(params)
    classifier = shared.backbones.new_classifier(params)
    trial.warm_up(shared, shared.context_of(params), classifier)
    found = shared_heads(params.search.artifacts, search.study, search.storage)
    assert found is not None
    shared.shared_heads = found
    for _ in range(2):
        trial.warm_up(shared, shared.context_of(params), classifier)
        assert len(files(found)) == 1


def test_a_damaged_or_missing_upload_is_not_used_and_another_one_is(
    heads: SharedHeads, saved: Path, tmp_path: Path
) -> None:
    heads.publish(saved)
    (uploaded,) = files(heads)
    uploaded.write_bytes(saved.read_bytes()[:-1])
    other = tmp_path / "two" / saved.name
    assert not heads.fetch(other)
    assert list(other.parent.iterdir()) == []
    uploaded.unlink()
    assert not heads.fetch(other)


def test_a_store_that_does_not_answer_gives_one_warning(
    heads: SharedHeads, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = SharedHeads(heads.study, heads.storage, BrokenStore())
    broken.publish(saved)  # listed, not uploaded
    assert not broken.fetch(tmp_path / "two" / saved.name)
    err = capsys.readouterr().err
    assert err.count("warning") == 1
    assert "cannot write key.safetensors: no route" in err
    assert "heads are trained on this machine" in err


def test_a_store_that_did_not_answer_is_asked_again_after_some_minutes(
    heads: SharedHeads, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("thaw.search.shared_heads.time.monotonic", lambda: now)
    store = BrokenStore()
    broken = SharedHeads(heads.study, heads.storage, store)
    for _ in range(3):  # trials with a saved head
        broken.publish(saved)
        broken.fetch(tmp_path / "two" / saved.name)
    assert store.requests == 2, "one to write and one to read"
    now += 301
    broken.store = heads.store
    broken.publish(saved)
    assert len(files(heads)) == 1
    assert broken.fetch(tmp_path / "two" / saved.name)


def test_heads_are_downloaded_from_a_store_that_may_only_be_read(
    heads: SharedHeads, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads.publish(saved)
    monkeypatch.setattr(heads.store, "write", BrokenStore().write)
    own = saved.with_name("own.safetensors")
    save_head(own, nn.Linear(3, 2))
    heads.publish(own)
    assert heads.fetch(tmp_path / "two" / saved.name)


def test_a_client_that_is_not_installed_is_named(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = project.Search(params)
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(ThawError, match=r"s3://bucket needs a package: .*thaw-vision\[servers\]"):
        shared_heads("s3://bucket", search.study, search.storage)


def test_a_second_machine_trains_no_head_that_the_first_has_trained(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = with_values(params, {"search.artifacts": str(tmp_path / "shared")})
    search = project.Search(params)
    shared = project.opened(params)
    shared.shared_heads = shared_heads(params.search.artifacts, search.study, search.storage)
    first = shared.backbones.new_classifier(params)
    trial.warm_up(shared, shared.context_of(params), first)
    shutil.rmtree(FOLDER)  # another machine has none
    monkeypatch.setattr(warmup_head, "run", lambda *_: pytest.fail("trained again"))
    second = shared.backbones.new_classifier(params)
    trial.warm_up(shared, shared.context_of(params), second)
    for key, value in first.head.state_dict().items():
        assert torch.equal(second.head.state_dict()[key], value), key
    assert load_head(shared.head_path(params)) is not None


def test_the_extra_that_the_message_names_brings_the_client() -> None:
    project_file = Path(__file__).parents[2] / "pyproject.toml"
    extras = tomllib.loads(project_file.read_text())["project"]["optional-dependencies"]
    assert any(requirement.startswith("boto3") for requirement in extras["servers"])

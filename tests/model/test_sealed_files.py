from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.registry.served import model_directory
from thaw.errors import ThawError
from thaw.model.sealed_files import (
    SPEC,
    ChangedError,
    check_digest,
    digest_of,
    read_bounded,
    read_object,
    sealed_digest,
    size_mb,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_the_digest_of_a_whole_model_directory_is_the_one_in_its_spec(tmp_path: Path) -> None:
    spec = model_directory(tmp_path / "model")
    assert sealed_digest(tmp_path / "model") == spec.digest


@pytest.mark.parametrize("change", ["flip", "remove", "add", "edit", "empty", "no files"])
def test_a_changed_model_directory_has_no_digest(change: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    model_directory(folder)
    weights, spec = folder / "model.safetensors", folder / SPEC
    if change == "flip":
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    elif change == "remove":
        weights.unlink()
    elif change == "add":
        (folder / "other.pkl").write_bytes(b"x")
    elif change == "edit":
        spec.write_text(spec.read_text().replace("cat", "cow"))
    elif change == "empty":
        spec.write_text("")
    else:
        content = {
            key: value for key, value in json.loads(spec.read_text()).items() if key != "files"
        }
        spec.write_text(json.dumps({**content, "digest": digest_of(content)}))
    with pytest.raises(ThawError):
        sealed_digest(folder)


@pytest.mark.parametrize("text", ["[]", "{", '{"a":' * 100_000, "[" * 100_000, "null"])
def test_text_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_object(text)


def test_an_object_whose_digest_does_not_match_is_reported_as_changed() -> None:
    with pytest.raises(ChangedError):
        check_digest({"a": 1, "digest": "0"})


def test_only_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(ValueError, match="it has 5 bytes, more than 4"):
        read_bounded(path, 4)
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ValueError, match="it is not a file"):
            read_bounded(odd, 5)


def test_the_size_of_a_model_is_that_of_its_own_files(tmp_path: Path) -> None:
    for name, size in (("model.json", 500), ("model.safetensors", 1500), (".gitignore", 9)):
        (tmp_path / name).write_bytes(b"a" * size)
    assert size_mb(tmp_path, ["model.safetensors"]) == 0.002

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from thaw.config.data_sections import Data
from thaw.config.source_names import SourceKind, data_set_name, has_image_files


@pytest.mark.parametrize("name", ["digits", "folder", "csv", "torchvision:DTD", "hf:org/name"])
def test_kinds_and_public_sets_are_sources(name: str) -> None:
    assert Data(source=name).source == name


@pytest.mark.parametrize(
    "name", ["", "images", "torchvision", "hf:", "hf: x", "hf:x\n", "kaggle:x", 3, []]
)
def test_another_source_is_refused(name: object) -> None:
    with pytest.raises(
        ValidationError, match=r"Give digits, .*webdataset, torchvision:NAME or hf:"
    ):
        Data(source=name)  # type: ignore[arg-type]


def test_a_folder_and_a_csv_file_have_a_file_for_each_image() -> None:
    assert [kind for kind in get_args(SourceKind) if has_image_files(kind)] == ["folder", "csv"]
    assert not has_image_files("hf:org/name")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("folder", "flowers"),
        ("csv", "flowers"),
        ("webdataset", "flowers"),
        ("digits", "digits"),
        ("torchvision:DTD", "torchvision:DTD"),
        ("hf:org/name:small", "hf:org/name:small"),
    ],
)
def test_own_images_are_named_by_their_path_and_others_by_the_source(
    source: str, name: str
) -> None:
    assert data_set_name(source, "data/flowers") == name

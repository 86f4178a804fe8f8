from __future__ import annotations

import pytest
from pydantic import ValidationError

from thaw.config.data_sections import Data


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

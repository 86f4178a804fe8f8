from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from tests.ingest.images import touch
from thaw.config.data_sections import Data
from thaw.config.source_names import SourceKind
from thaw.errors import ThawError
from thaw.ingest.listing import Sample
from thaw.ingest.sources import SOURCES, list_images, source_of


def test_the_digits_are_1797_images_of_ten_classes(tmp_path: Path) -> None:
    found = list_images(Data(source="digits", path="not read", root="not read"), tmp_path)
    assert found.classes == [str(digit) for digit in range(10)]
    assert len(found.samples) == 1797
    assert (found.problems, found.ignored) == ([], Counter())
    pixels = np.asarray(
        [Image.open(tmp_path / "digits" / sample.path) for sample in found.samples[:100]]
    )
    assert pixels.shape == (100, 8, 8)
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_data_source_chooses_between_folder_and_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    touch(Path("raw"), "cat/1.png")
    Path("images.csv").write_text("path,label\ncat/1.png,dog\n")
    scratch = Path("scratch")
    folder = list_images(Data(source="folder", path="raw", root="not read"), scratch)
    rows = list_images(Data(source="csv", path="images.csv", root="raw"), scratch)
    assert folder.samples == [Sample("cat/1.png", "cat")]
    assert rows.samples == [Sample("cat/1.png", "dog")]
    assert not scratch.exists()


def test_every_value_of_data_source_has_a_source() -> None:
    assert set(SOURCES) == {*get_args(SourceKind), "torchvision:", "hf:"}
    for name in (*get_args(SourceKind), "torchvision:DTD", "hf:org/name:config#label"):
        assert source_of(Data(source=name)) in SOURCES.values()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("torchvision:DDT", "did you mean torchvision:DTD"), ("hf:a:b:c", "write hf:NAME")],
)
def test_a_public_set_that_cannot_exist_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ThawError, match=reason):
        source_of(Data(source=name))


def test_a_source_names_the_keys_that_it_reads() -> None:
    keys = {name: source.keys for name, source in SOURCES.items()}
    assert keys == {
        "digits": (),
        "folder": ("path",),
        "csv": ("path", "root"),
        "torchvision:": ("path",),
        "hf:": ("path",),
        "webdataset": ("path",),
    }

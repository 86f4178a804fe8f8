from __future__ import annotations

from thaw.data.split_names import SPLITS, TEST, TRAIN, VAL


def test_the_names_are_those_in_manifests_and_csv_files() -> None:
    assert SPLITS == (TRAIN, VAL, TEST) == ("train", "val", "test")

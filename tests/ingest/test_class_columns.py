from __future__ import annotations

import csv

import pytest

from thaw.ingest.class_columns import class_columns_remedy


def remedy(table: str) -> str | None:
    return class_columns_remedy(csv.DictReader(table.splitlines()))


@pytest.mark.parametrize(("one", "zero"), [("1", "0"), ("1.0", "0.0"), ("True", "False")])
def test_one_class_for_each_image_becomes_a_column_of_labels(one: str, zero: str) -> None:
    found = remedy(f"file,cat,dog,size\n1.png,{one},{zero},8\n2.png, {zero},{one},9\n")
    assert found == (
        "the columns cat, dog have a 0 or 1 for each class: "
        "write the name of the column that has the 1 into a column label"
    )


def test_images_of_several_classes_are_counted() -> None:
    found = remedy("file,a,b,c,d,e,f\n1.png,1,1,0,0,0,1\n2.png,0,1,1,1,1,0\n3.png,1,0,0,0,0,0\n")
    assert found is not None
    assert "the columns a, b, c, d and 2 more have a 0 or 1" in found
    assert "2 of the first 3 images have several classes" in found
    assert "thaw trains on one class for each image" in found


@pytest.mark.parametrize(
    "table",
    [
        "",
        "file,cat,dog\n",
        "path,class\n1.png,cat\n2.png,dog\n",
        "path,class\n1.png,0\n2.png,1\n",  # one column is the labels with another name
        "path,class,fold\n1.png,0,2\n2.png,1,3\n",
        "path,a,b\n1.png,1\n2.png,1,0\n",  # the first row has no value of b
        "path,a,b\n1.png,0,1\n2.png,0,1\n",  # no image is an a
    ],
)
def test_other_tables_have_no_columns_of_classes(table: str) -> None:
    assert remedy(table) is None

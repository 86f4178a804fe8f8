from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.peak import rise
from thaw.errors import ThawError
from thaw.ingest.csv_source import list_csv
from thaw.ingest.listing import Listing, Sample


def table(folder: Path, content: str | bytes) -> Listing:
    """List a CSV file of this content, with its images in the same folder."""
    path = folder / "images.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list_csv(path, folder)


def test_a_csv_file_may_have_no_column_split(tmp_path: Path) -> None:
    found = table(tmp_path, "label,path,size\ndog,x/1.png,9\ncat,2.png,9\n")
    assert found.samples == [Sample("x/1.png", "dog"), Sample("2.png", "cat")]
    assert found.classes == ["cat", "dog"]


def test_a_csv_file_may_give_the_splits(tmp_path: Path) -> None:
    found = table(tmp_path, "path,label,split\n1.png,a,train\n2.png,a,val\n3.png,b,test\n")
    assert [sample.split for sample in found.samples] == ["train", "val", "test"]
    assert found.problems == []


@pytest.mark.parametrize("value", ["", "holiday", "train 2", "train cats", "train/test"])
def test_a_row_with_an_unknown_split_is_a_problem(tmp_path: Path, value: str) -> None:
    found = table(tmp_path, f"path,label,split\n1.png,a,train\n2.png,a,{value}\n")
    (problem,) = found.problems
    assert problem.startswith(f"{tmp_path / 'images.csv'}, line 3: split is ")
    assert "must be one of train, val, test" in problem


def test_an_image_that_is_listed_twice_is_a_problem(tmp_path: Path) -> None:
    found = table(tmp_path, "path,label\n1.png,a\n2.png,a\n1.png,b\n")
    reason = "1.png is listed twice (line 2, there with the label 'a')"
    assert found.problems == [f"{tmp_path / 'images.csv'}, line 4: {reason}"]
    assert len(found.samples) == 2


@pytest.mark.parametrize("row", ["1.png", "1.png,", ",a", ",,train"])
def test_a_row_without_a_path_or_label_is_a_problem(tmp_path: Path, row: str) -> None:
    header = "path,label,split" if row.count(",") > 1 else "path,label"
    found = table(tmp_path, f"{header}\n{row}\n")
    assert found.problems == [f"{tmp_path / 'images.csv'}, line 2: the path or the label is empty"]


@pytest.mark.parametrize(("header", "row"), [("path,label", ","), ("path,label,split", ",,")])
def test_a_row_of_commas_is_named_as_an_empty_row_and_an_empty_line_is_none(
    tmp_path: Path, header: str, row: str
) -> None:
    found = table(tmp_path, f"{header}\n\n{row}\n\n")
    (problem,) = found.problems
    assert problem.startswith(f"{tmp_path / 'images.csv'}, line 3: it has only commas")
    assert problem.endswith("delete it")


def test_every_bad_row_is_listed(tmp_path: Path) -> None:
    found = table(
        tmp_path, "path,label,split\n1.png,,train\n2.png,a,other\n3.png,a,val\n3.png,a,val"
    )
    assert [problem.split(":")[0][-6:] for problem in found.problems] == [
        "line 2",
        "line 3",
        "line 5",
    ]


@pytest.mark.parametrize(
    ("header", "right"),
    [
        ("file,label", "no column path; it has file, label: call its columns path,label[,split]"),
        ("path,class", "no column label; it has path, class: call its columns path,label[,split]"),
        ("path;label", "no column label and no column path; it has path;label"),
        ("", "it has nothing"),
    ],
)
def test_a_missing_column_is_reported_with_the_columns_of_the_file(
    tmp_path: Path, header: str, right: str
) -> None:
    with pytest.raises(ThawError) as caught:
        table(tmp_path, f"{header}\n1.png,a\n" if header else "")
    assert str(caught.value).startswith(f"{tmp_path / 'images.csv'}: ")
    assert right in str(caught.value)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    found = table(tmp_path, b"\xef\xbb\xbfpath,label\r\n1.png,a\r\n2.png,b\r\n")
    assert found.samples == [Sample("1.png", "a"), Sample("2.png", "b")]


def test_quoted_names_may_hold_commas_and_newlines(tmp_path: Path) -> None:
    found = table(tmp_path, 'path,label\n"a,\n""b"".png","one, two"\n')
    assert found.samples == [Sample('a,\n"b".png', "one, two")]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("path,label\né.png,a\n".encode("latin-1"), id="not UTF-8"),
        pytest.param(b"path,label\n" + b"a" * 200_000 + b",a\n", id="an endless field"),
    ],
)
def test_a_file_that_is_not_csv_in_utf_8_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ThawError, match=r"images\.csv"):
        table(tmp_path, content)


def test_a_missing_file_or_root_is_refused_with_the_key(tmp_path: Path) -> None:
    path = tmp_path / "images.csv"
    with pytest.raises(ThawError, match=r"data\.path: .*images\.csv is not a file"):
        list_csv(path, tmp_path)
    path.write_text("path,label\n")
    with pytest.raises(ThawError, match=r"data\.root: .*nowhere is not a folder"):
        list_csv(path, tmp_path / "nowhere")


# Mistakes in rows


def test_a_row_with_more_fields_than_the_header_is_a_problem(tmp_path: Path) -> None:
    found = table(tmp_path, 'path,label\n1.png,"fox, red"\n2.png,fox, red\n3.png,fox,\n4.png,owl\n')
    first, second = found.problems
    assert first.startswith(
        f"{tmp_path / 'images.csv'}, line 3: it has 3 fields, but the header has 2: "
    )
    assert second.startswith(f"{tmp_path / 'images.csv'}, line 4: ")
    assert found.classes == ["fox, red", "owl"]


def test_a_quote_that_is_not_closed_does_not_take_the_rest_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=r"is not valid CSV: .*; perhaps a quote is not closed"):
        table(tmp_path, 'path,label\n1.png,"fox\n2.png,owl\n3.png,cat\n')


@pytest.mark.parametrize("spelling", ["./x/1.png", "x//1.png", "x/../x/1.png", "x/./1.png"])
def test_another_spelling_of_a_path_is_the_same_image(tmp_path: Path, spelling: str) -> None:
    found = table(tmp_path, f"path,label\nx/1.png,a\ny/1.png,a\n{spelling},a\n")
    assert found.problems == [
        f"{tmp_path / 'images.csv'}, line 4: {spelling} is listed twice (line 2)"
    ]
    assert [sample.path for sample in found.samples] == ["x/1.png", "y/1.png"]


def test_an_absolute_path_is_the_same_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images.csv").write_text(f"path,label\n1.png,a\n{tmp_path / '1.png'},a\n")
    (problem,) = list_csv(Path("images.csv"), Path()).problems
    assert problem.endswith("is listed twice (line 2)")


def test_a_csv_file_may_spell_split_names_in_every_way_that_folders_may(tmp_path: Path) -> None:
    rows = ["1.png,a,Training", "2.png,a,valid", "3.png,b, TEST ", "4.png,b,train"]
    found = table(tmp_path, "\n".join(["path,label,split", *rows]))
    assert [sample.split for sample in found.samples] == ["train", "val", "test", "train"]
    assert found.problems == []
    assert found.notes == ["splits: Training is train, valid is val,  TEST  is test"]


def test_splits_that_contradict_each_other_are_a_problem(tmp_path: Path) -> None:
    rows = ["1.png,a,train", "2.png,a,val", "3.png,b,test", "4.png,b,eval"]
    (problem,) = table(tmp_path, "\n".join(["path,label,split", *rows])).problems
    assert "one of the three is too many: write one of train, val, test" in problem


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match="the column label occurs twice: rename"):
        table(tmp_path, "path,label,label\n1.png,a,b\n")


@pytest.mark.parametrize("header", ["Path,Label,Split", "PATH,LABEL,SPLIT", "path, label , split"])
def test_case_and_spaces_of_the_columns_do_not_count(tmp_path: Path, header: str) -> None:
    found = table(tmp_path, f"{header}\n1.png,a,train\n2.png,b,test\n")
    assert [(sample.label, sample.split) for sample in found.samples] == [
        ("a", "train"),
        ("b", "test"),
    ]


def test_a_column_in_two_spellings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match="the column label occurs twice: rename"):
        table(tmp_path, "path,label,Label\n1.png,a,b\n")


@pytest.mark.parametrize("sign", [";", "\t", "|"])
def test_other_separators_are_named(tmp_path: Path, sign: str) -> None:
    with pytest.raises(ThawError, match="separate them by commas"):
        table(tmp_path, f"path{sign}label\n1.png{sign}a\n")


@pytest.mark.parametrize("column", ["set", "subset", "Partition", "fold"])
def test_a_column_of_splits_with_another_name_is_a_problem(tmp_path: Path, column: str) -> None:
    found = table(tmp_path, f"path,label,{column}\n1.png,a,Training\n2.png,b,test\n")
    (problem,) = found.problems
    assert f"the column '{column}' names splits (Training, test)" in problem


def test_columns_of_zero_and_one_instead_of_labels_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ThawError) as caught:
        table(tmp_path, "path,cat,dog\n1.png,1,0\n2.png,0,1\n")
    assert "no column label; it has path, cat, dog: the columns cat, dog have" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,label\n", "labels.csv: write a row for each image below the first line"),
        (b"PK\x03\x04" + bytes(90), "labels.csv is an archive, perhaps a spreadsheet: save it as"),
    ],
)
def test_a_file_without_rows_says_what_to_write(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    try:
        found = list_csv(tmp_path / "labels.csv", tmp_path).problems
    except ThawError as error:
        found = [str(error)]
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.slow
def test_rows_take_little_memory(tmp_path: Path) -> None:
    rows = 50_000
    lines = [f"a/folder/with/a/name/{number}.png,label" for number in range(rows)]
    (tmp_path / "images.csv").write_text("\n".join(["path,label", *lines]))
    del lines
    assert rise(lambda: list_csv(tmp_path / "images.csv", tmp_path)) < 10  # megabytes

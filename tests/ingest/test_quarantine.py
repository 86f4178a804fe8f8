from __future__ import annotations

from pathlib import Path

from thaw.config.data_sections import Data
from thaw.ingest import quarantine
from thaw.ingest.listing import BadFile, Listing, Sample

LISTING = Listing(Path("raw"), [Sample(f"{c}/{n}", c) for c in "ab" for n in range(5)], ["a", "b"])
BAD = [BadFile("a/3", "the file is empty", "a"), BadFile("b/\udcff", "not UTF-8", "b")]
GOOD = ["a"] * 4 + ["b"] * 4


def problems(bad: list[BadFile] = BAD, labels: list[str] = GOOD, **values: object) -> list[str]:
    return quarantine.bad_file_problems(Data.model_validate(values), LISTING, bad, labels)


def test_bad_files_are_problems_by_default() -> None:
    assert problems() == ["raw/a/3: the file is empty", "raw/b/\\udcff: not UTF-8"]
    assert problems(bad=[]) == []


def test_bad_files_are_left_out_up_to_the_given_share() -> None:
    assert problems(on_error="quarantine", max_bad_fraction=0.2) == []
    first, *others = problems(on_error="quarantine", max_bad_fraction=0.19)
    assert first.startswith("2 of 10 files are bad (20.0%), more than data.max_bad_fraction = 0.19")
    assert others == problems()


def test_a_class_cannot_be_left_out() -> None:
    (line,) = problems(labels=["a"] * 8, on_error="quarantine", max_bad_fraction=1.0)
    assert line.startswith("class 'b': none of its images is left (of 5), because all are bad")
    assert problems(bad=[], labels=["a"] * 8) == [line]


def test_the_remedy_is_named_where_it_is_not_in_use() -> None:
    assert "data.on_error" in quarantine.remedy(Data())
    assert quarantine.remedy(Data(on_error="quarantine")) == ""


def test_the_summary_lists_each_file_with_its_reason_and_counts_the_reasons() -> None:
    summary = quarantine.summarize(LISTING, [*BAD, BadFile("a/4", "the file is empty", "a")])
    assert summary == {
        "files": 3,
        "fraction": 0.3,
        "reasons": {"the file is empty": 2, "not UTF-8": 1},
        "list": [
            {"path": "a/3", "reason": "the file is empty"},
            {"path": "b/\\udcff", "reason": "not UTF-8"},
            {"path": "a/4", "reason": "the file is empty"},
        ],
    }
    (line,) = quarantine.warnings(summary)
    assert line.startswith("3 bad files (30.0%) are left out, for example a/3: the file is empty")
    (line,) = quarantine.warnings(quarantine.summarize(LISTING, BAD[:1]))
    assert line.startswith("1 bad file (10.0%) is left out, for example a/3: the file is empty")
    assert quarantine.warnings(quarantine.summarize(LISTING, [])) == []

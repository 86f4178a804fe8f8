from __future__ import annotations

import pytest

from thaw.data.split_names import TEST, TRAIN, VAL
from thaw.ingest.split_spelling import Kind, Spelling, resolve_splits, spelling_of


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            "train",
            "train Train TRAIN training Training trn tr train_images TrainImages train-set "
            "trainset traindata TRAIN.DATA images_train imgs-for-training my_training_photos",
        ),
        ("val", "val valid validation Validation VAL dev Dev_Set development va val_images"),
        ("test", "test Test testing TESTING tests tst te ts test_set holdout hold-out held_out"),
        ("eval", "eval Evaluation eval_images"),
        ("train and val", "trainval train_val train+val TrainVal training-validation"),
    ],
)
def test_usual_spellings_are_recognised(kind: Kind, names: str) -> None:
    for name in names.split():
        found = spelling_of(name)
        assert found is not None, name
        assert (found.kind, found.rest, found.numbers) == (kind, (), ()), name


@pytest.mark.parametrize(
    "name",
    ["cat", "trains", "tree", "trunk", "valley", "contest", "data", "images", "tennis", "", "訓練"],
)
def test_other_words_name_no_split(name: str) -> None:
    assert spelling_of(name) is None


@pytest.mark.parametrize("name", ["train_test", "val-test", "test and eval", "train/test"])
def test_two_splits_in_one_name_are_no_split(name: str) -> None:
    assert spelling_of(name) is None


def test_the_rest_of_a_name_is_kept() -> None:
    assert spelling_of("train2017") == Spelling("train", numbers=("2017",))
    assert spelling_of("01_val") == Spelling("val", numbers=("01",))
    assert spelling_of("flowers_test") == Spelling("test", rest=("flowers",))
    assert spelling_of("train_labels") == Spelling("train", rest=("labels",))


def test_names_of_two_letters_are_marked() -> None:
    assert spelling_of("tr") == Spelling("train", short=True)
    assert spelling_of("tr_train") == Spelling("train", short=False)


def test_evaluation_is_the_split_that_is_not_there_and_test_if_both_are_not() -> None:
    assert resolve_splits(["train", "eval"]) == {"train": TRAIN, "eval": TEST}
    assert resolve_splits(["train", "val", "eval"])["eval"] == TEST
    assert resolve_splits(["train", "test", "eval"])["eval"] == VAL


def test_training_and_validation_together_are_the_training_split() -> None:
    assert resolve_splits(["train and val", "test"]) == {"train and val": TRAIN, "test": TEST}


@pytest.mark.parametrize(
    "kinds", [["train", "val", "test", "eval"], ["train", "train and val", "val"]]
)
def test_kinds_that_contradict_each_other_are_refused(kinds: list[Kind]) -> None:
    with pytest.raises(ValueError, match="and"):
        resolve_splits(kinds)

from __future__ import annotations

import numpy as np
import pytest

from thaw.errors import ThawError
from thaw.evaluation.page.comparison import StoredResult, compare

HISTORY = "epoch,train_loss,val_loss,val_accuracy,lr\n0,,1.0,0.5,0.0\n1,0.9,0.8,0.6,0.1\n"


def result(
    name: str, right: int, images: int = 200, params: str = "", first: int = 0
) -> StoredResult:
    """Return a result on images of two classes, of which the first ``right`` are right."""
    lines = ["id,path,label,predicted,probability,p_cat,p_dog"]
    for number in range(first, first + images):
        label = ("cat", "dog")[number % 2]
        is_right = number - first < right
        p_cat = 0.8 if (label == "cat") == is_right else 0.2
        lines.append(f"{number},{number}.png,{label},x,0.8,{p_cat},{1 - p_cat}")
    return StoredResult.parse(name, "\n".join(lines), params, {"unfreeze": HISTORY})


def test_a_better_result_is_clearly_better_in_paired_differences() -> None:
    found = compare(result("a", 150), result("b", 180))
    accuracy = next(row for row in found["metrics"] if row["name"] == "accuracy")
    assert accuracy["difference"] == pytest.approx(0.15)
    assert 0 < accuracy["low"] < 0.15 < accuracy["high"]
    assert accuracy["verdict"] == "better"
    loss = next(row for row in found["metrics"] if row["name"] == "log_loss")
    assert loss["difference"] < 0
    assert loss["verdict"] == "better"
    assert found["counts"]["only_first"] == 0
    assert found["counts"]["only_second"] == 30
    assert found["counts"]["p"] < 1e-6
    back = compare(result("b", 180), result("a", 150))
    assert {row["verdict"] for row in back["metrics"]} <= {"worse", "not clear"}


@pytest.mark.parametrize("images", [400, 1000])
def test_few_images_with_different_answers_are_no_clear_difference(images: int) -> None:
    # 98 % of the resamples have one of the four, but of equal models one in eight looks so
    found = compare(result("a", images - 4, images), result("b", images, images))
    assert found["counts"]["p"] == pytest.approx(0.125)
    assert {row["verdict"] for row in found["metrics"]} == {"not clear"}
    found = compare(result("a", images - 7, images), result("b", images, images))
    assert {row["verdict"] for row in found["metrics"] if row["name"] != "ece"} == {"better"}


def test_images_with_different_answers_are_listed_with_the_right_one() -> None:
    found = compare(result("a", 198), result("b", 200))
    assert [row["path"] for row in found["answers"]] == ["198.png", "199.png"]
    row = found["answers"][0]
    assert (row["label"], row["first"], row["second"], row["right"]) == ("cat", "dog", "cat", "B")


def test_equal_results_have_no_difference() -> None:
    found = compare(result("a", 150), result("a", 150))
    assert {row["verdict"] for row in found["metrics"]} == {"equal"}
    assert found["answers"] == found["params"] == []
    assert found["counts"]["p"] == 1.0


def test_parameters_that_differ_are_listed_by_dotted_key() -> None:
    first = result("a", 10, params="seed: 0\nunfreeze: {depth: 3, lr: 0.1}\n")
    second = result("b", 10, params="seed: 0\nunfreeze: {depth: 4, lr: 0.1}\nhead: {hidden: [8]}\n")
    assert compare(first, second)["params"] == [
        {"name": "head.hidden", "first": "default", "second": "[8]"},
        {"name": "unfreeze.depth", "first": "3", "second": "4"},
    ]


def test_images_of_one_result_alone_do_not_count() -> None:
    found = compare(result("a", 100, images=100), result("b", 100, images=100, first=40))
    assert (found["images"], found["only_in_one"]) == (60, 80)


def test_results_without_a_common_image_or_class_are_refused() -> None:
    with pytest.raises(ThawError, match="no test image in common"):
        compare(result("a", 1, images=10), result("b", 1, images=10, first=20))
    other = StoredResult.parse("c", "path,label,p_cat,p_fox\n1.png,cat,0.5,0.5\n", "", {})
    with pytest.raises(ThawError, match=r"different classes \(dog, fox\): compare"):
        compare(result("a", 1), other)


PREDICTIONS = "path,label,p_cat\n1.png,cat,1.0\n"


@pytest.mark.parametrize(
    ("predictions", "history"),
    [
        (PREDICTIONS.replace("1.0", "much"), HISTORY),
        (PREDICTIONS.replace("1.0", "nan"), HISTORY),
        (PREDICTIONS.replace(",cat,", ",fox,"), HISTORY),
        ("", HISTORY),
        (PREDICTIONS, HISTORY.replace("0.8", "")),
        (PREDICTIONS, "epoch\n1\n"),
    ],
)
def test_damaged_predictions_and_curves_are_refused(predictions: str, history: str) -> None:
    with pytest.raises(
        ThawError, match=r"predictions or curves of a are damaged.*compare another result"
    ):
        StoredResult.parse("a", predictions, "", {"unfreeze": history})


def test_the_curve_has_all_phases_on_one_axis() -> None:
    stored = StoredResult.parse(
        "a", "path,label,p_cat\n1.png,cat,1.0\n", "", {"warmup_head": HISTORY, "unfreeze": HISTORY}
    )
    assert [row["at"] for row in stored.curve] == [0, 1, 2, 3]
    np.testing.assert_allclose([row["val_loss"] for row in stored.curve], [1.0, 0.8] * 2)

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.promotion.scored_versions import CHAMPION, TARGETS, rules, scored
from thaw.metrics.registry import METRICS
from thaw.promotion.few_images import few_images_note, least_margin
from thaw.promotion.paired_tests import min_images, not_worse
from thaw.promotion.scoring import ScoredVersion

ACCURACY = rules(not_worse={"accuracy": 0.02})


def test_a_small_test_split_is_told_the_images_and_the_margin_that_would_do() -> None:
    assert few_images_note(ACCURACY, scored([]), CHAMPION, TARGETS[:60]) == [
        "60 test images cannot show that any version is not worse: accuracy within 0.02 needs 149 "
        "images. Ways out: add test images and `dvc repro`; keep version 1; compare less strictly, "
        "now and later (promote.not_worse: {accuracy: 0.05}); decide without the comparison "
        '(`--force --reason "..."`)'
    ]


def test_the_proposed_value_keeps_the_margins_that_suffice_because_it_replaces_them_all() -> None:
    both = rules(not_worse={"accuracy": 0.02, "log_loss": 0.05})
    (note,) = few_images_note(both, scored([]), CHAMPION, TARGETS[:90])
    assert "(promote.not_worse: {accuracy: 0.04, log_loss: 0.05})" in note


def test_no_margin_is_proposed_that_would_exclude_hardly_anything_or_not_help() -> None:
    both = rules(not_worse={"accuracy": 0.02, "log_loss": 0.05})
    (note,) = few_images_note(both, scored([]), CHAMPION, TARGETS[:17])
    assert "log_loss within 0.05 needs 30 images" in note  # at any margin
    assert "(promote.not_worse: {accuracy: 0.17})" in note
    for settings in (both, ACCURACY):
        (note,) = few_images_note(settings, scored([]), CHAMPION, TARGETS[:9])
        assert "strictly" not in note


def test_the_images_of_the_smallest_class_are_those_that_count_for_its_recall() -> None:
    settings = rules(not_worse={"worst_class_recall": 0.05})
    (note,) = few_images_note(settings, scored([]), CHAMPION, TARGETS[:90])
    assert "worst_class_recall within 0.05 needs 59 images of the smallest class" in note
    assert "(promote.not_worse: {worst_class_recall: 0.1})" in note


@pytest.mark.parametrize(("images", "margin"), [(17, 0.17), (60, 0.05), (149, 0.02)])
def test_the_least_margin_for_these_images_needs_no_note(images: int, margin: float) -> None:
    settings = rules(not_worse={"accuracy": margin})
    assert few_images_note(settings, scored([]), CHAMPION, TARGETS[:images]) == []


def test_enough_images_no_champion_or_the_same_model_need_no_note() -> None:
    assert few_images_note(ACCURACY, scored([]), CHAMPION, TARGETS) == []
    few = TARGETS[:60]
    assert few_images_note(ACCURACY, scored([]), None, few) == []
    unscored = ScoredVersion(1, problem="other classes", has_other_classes=True)
    assert few_images_note(ACCURACY, scored([]), unscored, few) == []
    pair = replace(scored([]), content="c"), replace(CHAMPION, content="c")
    assert few_images_note(ACCURACY, *pair, few) == []


@pytest.mark.parametrize("images", [11, 17, 60, 100, 500])
def test_equal_models_pass_at_the_least_margin_and_not_a_hundredth_below(images: int) -> None:
    margin = least_margin(images, 0.95)
    assert not_worse(0, 0, images, margin) <= 0.05
    assert min_images(METRICS["accuracy"], margin, 0.95) <= images
    if margin > 0.01:
        assert not_worse(0, 0, images, margin - 0.01) > 0.05

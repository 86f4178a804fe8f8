from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import binomtest

from thaw.metrics.registry import METRICS
from thaw.metrics.uncertainty import resample_weights
from thaw.promotion import paired_tests
from thaw.promotion.paired_tests import (
    MIN_IMAGES,
    Comparison,
    Pair,
    compare,
    mcnemar,
    min_images,
    not_worse,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.promotion.paired_tests import Floats, Ints

CLASSES = list("abcde")


def model(
    targets: NDArray[np.int64], strength: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Probabilities that favour the target by ``strength``."""
    logits = generator.normal(size=(len(targets), len(CLASSES)))
    logits[np.arange(len(targets)), targets] += strength
    exponentials = np.exp(logits)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def pair(strong: float, weak: float, images: int = 300, seed: int = 0) -> Pair:
    generator = np.random.default_rng(seed)
    targets = np.arange(images) % len(CLASSES)
    return Pair(
        model(targets, strong, generator), model(targets, weak, generator), targets, bins=15
    )


def outcome(made: Pair, metric: str, margin: float = 0.0) -> Comparison:
    return compare(made, METRICS[metric], margin=margin, confidence=0.95)


@pytest.mark.parametrize("metric", METRICS)
def test_the_advantage_is_the_difference_of_the_scores(metric: str) -> None:
    made = pair(2.5, 2.0)
    own, other = (METRICS[metric].value(one) for one in made.predictions())
    expected = own - other if METRICS[metric].higher_is_better else other - own
    assert outcome(made, metric).advantage == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric != "ece"])
def test_a_much_better_model_is_better_and_a_much_worse_one_worse(metric: str) -> None:
    made = pair(4.0, 1.5)
    assert outcome(made, metric).confidence > 0.99
    swapped = Pair(made.champion, made.challenger, made.targets, 15)
    assert outcome(swapped, metric).confidence < 0.01
    assert outcome(swapped, metric).confidence_worse > 0.99
    assert outcome(swapped, metric, margin=0.05).confidence < 0.01


def test_an_overconfident_model_is_worse_calibrated() -> None:
    generator = np.random.default_rng(0)
    targets = np.arange(300) % len(CLASSES)
    even = model(targets, 1.5, generator)
    sharp = even**6 / (even**6).sum(axis=1, keepdims=True)
    made = Pair(even, sharp, targets, 15)
    assert outcome(made, "ece").confidence > 0.99
    assert outcome(made, "accuracy").advantage == 0


@pytest.mark.parametrize(("wins", "losses"), [(8, 1), (5, 5), (0, 4), (0, 0), (20, 11)])
def test_mcnemar_is_the_binomial_test_on_the_images_that_differ(wins: int, losses: int) -> None:
    found = mcnemar(wins, losses)
    total = wins + losses
    expected = binomtest(wins, total, alternative="greater").pvalue if total else 1.0
    assert found == pytest.approx(expected)


def test_with_no_image_that_differs_the_margin_test_is_the_rule_of_three() -> None:
    # the likeliest way to see nothing although the loss rate is the margin: no win at all
    assert not_worse(0, 0, 50, 0.05) == pytest.approx(0.95**50, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "margin"), [(40, 0.1), pytest.param(150, 0.03, marks=pytest.mark.soak)]
)
def test_the_margin_test_errs_at_most_as_often_as_it_says(images: int, margin: float) -> None:
    generator = np.random.default_rng(0)
    for wins in (0.0, 0.03, 0.2):
        shares = [wins, wins + margin, 1 - 2 * wins - margin]
        drawn = generator.multinomial(images, shares, size=1500)
        outcomes, counts = np.unique(drawn[:, :2], axis=0, return_counts=True)
        wrong = sum(
            count
            for (won, lost), count in zip(outcomes.tolist(), counts.tolist(), strict=True)
            if lost - won < images * margin and not_worse(won, lost, images, margin) <= 0.05
        )
        assert wrong / 1500 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1500)


def test_more_wins_never_hurt_and_more_losses_never_help() -> None:
    p = np.array([[not_worse(won, lost, 60, 0.05) for won in range(6)] for lost in range(6)])
    assert (np.diff(p, axis=1) <= 1e-9).all()
    assert (np.diff(p, axis=0) >= -1e-9).all()


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric != "accuracy"])
def test_a_bootstrap_over_few_images_tells_nothing(metric: str) -> None:
    made = pair(6.0, 0.5, images=25)
    found = outcome(made, metric, margin=0.1)
    assert found.confidence <= 0.5
    assert found.needed is not None
    assert found.needed >= MIN_IMAGES


def test_equal_predictions_on_few_images_do_not_show_that_a_model_is_not_worse() -> None:
    same = pair(9.0, 1.0, images=100)
    made = Pair(same.challenger, same.challenger, same.targets, 15)
    assert outcome(made, "accuracy", margin=0.02).confidence < 0.95
    assert outcome(made, "accuracy", margin=0.05).confidence > 0.95
    assert outcome(made, "worst_class_recall", margin=0.05).confidence <= 0.5
    assert min_images(METRICS["worst_class_recall"], 0.05, 0.95) == 59


def test_how_many_images_would_tell_falls_with_the_difference() -> None:
    large, small = (outcome(pair(strong, 2.5, images=60), "log_loss") for strong in (3.0, 2.7))
    assert large.needed is not None
    assert small.needed is not None
    assert 60 <= large.needed < small.needed


def test_very_many_images_are_resampled_in_smaller_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    made, drawn = pair(2.6, 2.5), []
    whole = outcome(made, "macro_f1")

    def counted(targets: Ints, count: int, generator: np.random.Generator) -> Floats:
        drawn.append(count)
        return resample_weights(targets, count, generator)

    monkeypatch.setattr(paired_tests, "resample_weights", counted)
    monkeypatch.setattr(paired_tests, "_MOST_WEIGHTS", 300 * 150)
    parts = outcome(made, "macro_f1")
    assert (max(drawn), sum(drawn)) == (150, paired_tests.RESAMPLES)
    assert parts.confidence == pytest.approx(whole.confidence, abs=0.03)


def test_the_same_seed_gives_the_same_confidence() -> None:
    made = pair(2.6, 2.5)
    assert outcome(made, "macro_f1") == outcome(made, "macro_f1")
    other = compare(made, METRICS["macro_f1"], margin=0.0, confidence=0.95, seed=1)
    assert other.confidence == pytest.approx(outcome(made, "macro_f1").confidence, abs=0.05)

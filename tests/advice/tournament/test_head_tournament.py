from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from thaw.advice.folds import stratified_folds
from thaw.advice.tournament.candidates import Input
from thaw.advice.tournament.features import PooledFeatures
from thaw.advice.tournament.head_tournament import HeadTournament, Space
from thaw.errors import ThawError

if TYPE_CHECKING:
    from thaw.advice.tournament.features import FeatureReader

COUNT, CLASSES, WIDTH = 240, 3, 6
TARGETS = np.arange(COUNT) % CLASSES
FREE = Space(
    framing=None,
    image_size=None,
    crop_pct=0.875,
    blocks=None,
    fit=None,
    side=1000,
    native=64,
    images_are_square=False,
    most_inputs=6,
    balanced=False,
    screening="logistic",
)


@dataclass
class Reader:
    """Features of three blocks whose signal the test gives, by block and input."""

    signals: Any  # (input, block) -> size of the signal
    computed: dict[Input, PooledFeatures] = field(default_factory=dict)

    def __post_init__(self) -> None:
        groups = np.arange(COUNT).astype(str)
        folds = stratified_folds(TARGETS, groups, seed=0)
        self.development = SimpleNamespace(
            targets=TARGETS,
            folds=folds,
            predicted=np.arange(COUNT),
            ids=np.arange(COUNT),
            groups=groups,
            is_validation=np.arange(COUNT) // CLASSES % 4 == 0,
        )
        self.classifier = SimpleNamespace(blocks=[None] * 3)
        runtime = SimpleNamespace(is_main=True, world=1, sum=lambda value: value)
        self.context = SimpleNamespace(runtime=runtime)

    def accepts(self, size: int) -> bool:
        return size <= 96

    def read(self, chosen: Input) -> PooledFeatures:
        if chosen not in self.computed:
            generator = np.random.default_rng(0)
            parts = []
            for block in (1, 2, 3):
                part = generator.normal(0, 1, (COUNT, WIDTH))
                part[np.arange(COUNT), TARGETS] += self.signals(chosen, block)
                parts.append(part)
            values = np.concatenate(parts, axis=1).astype(np.float32)
            self.computed[chosen] = PooledFeatures(values, [WIDTH] * 3, 0.0)
        return self.computed[chosen]


def tournament(signals: Any, space: Space = FREE) -> HeadTournament:
    """Return a tournament over features with these signals."""
    return HeadTournament(cast("FeatureReader", Reader(signals)), space, show=False)


@pytest.mark.slow
def test_the_framing_with_the_best_features_is_chosen() -> None:
    found = tournament(lambda chosen, _: 2.0 if chosen.framing == "squish" else 0.5).run()
    assert found.candidate.input == Input("squish", 64, 1.0)


@pytest.mark.slow
def test_a_larger_size_is_chosen_where_it_helps_and_only_if_the_network_accepts_it() -> None:
    wins = tournament(lambda chosen, _: 0.5 + chosen.image_size / 64).run()
    assert wins.candidate.input.image_size == 96
    same = tournament(lambda _, __: 1.0).run()
    assert same.candidate.input.image_size == 64


@pytest.mark.slow
def test_the_blocks_with_a_signal_are_read() -> None:
    early = tournament(lambda _, block: 2.0 if block == 1 else 0.0).run()
    assert 1 in early.candidate.blocks
    several = tournament(lambda _, block: 1.5 if block > 1 else 0.0).run()
    assert set(several.candidate.blocks) >= {2, 3}


def test_given_values_are_the_only_candidates() -> None:
    given = replace(FREE, framing="pad", image_size=80, crop_pct=0.9, blocks=(1, 2), fit="lda")
    running = tournament(lambda _, __: 1.0, given)
    found = running.run()
    assert len(running.entries) == 1
    assert found.candidate.input == Input("pad", 80, 0.9)
    assert (found.candidate.blocks, found.candidate.fit) == ((1, 2), "lda")


def test_blocks_that_the_network_does_not_have_are_refused_before_anything_is_computed() -> None:
    expected = r"head\.taps: 4 is beyond .* 3 blocks: set head\.taps to auto, or to numbers up to 3"
    with pytest.raises(ThawError, match=expected):
        tournament(lambda chosen, block: 1.0, replace(FREE, blocks=(2, 4)))


@pytest.mark.slow
def test_no_more_inputs_are_computed_than_allowed() -> None:
    running = tournament(
        lambda chosen, _: 0.1 + chosen.image_size / 64, replace(FREE, native=32, most_inputs=4)
    )
    running.run()
    assert len(cast("Reader", running.reader).computed) == 4


@pytest.mark.slow
@pytest.mark.parametrize("screening", ["logistic", "lda"])
def test_each_fit_is_compared_once(screening: Any) -> None:
    running = tournament(lambda _, __: 1.0, replace(FREE, screening=screening))
    winner = running.run()
    at_the_end = [e for e in running.entries if e.candidate.blocks == winner.candidate.blocks]
    kinds = {e.candidate.fit for e in at_the_end if e.candidate.input == winner.candidate.input}
    assert kinds == {"logistic", "svm", "lda"}


@pytest.mark.slow
def test_the_same_features_give_the_same_choice() -> None:
    first, second = (tournament(lambda _, __: 1.0) for _ in range(2))
    assert first.run().candidate == second.run().candidate
    assert [e.losses.tolist() for e in first.entries] == [e.losses.tolist() for e in second.entries]


def test_splits_that_look_different_are_found() -> None:
    running = tournament(lambda _, __: 1.0)
    assert not running.validation_differs()
    reader = cast("Reader", running.reader)
    values = next(iter(reader.computed.values())).values
    values[reader.development.is_validation, -1] += 5.0
    assert running.validation_differs()

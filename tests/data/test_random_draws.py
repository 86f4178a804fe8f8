from __future__ import annotations

import numpy as np
import pytest

from thaw.data.random_draws import (
    Stream,
    derived_seed,
    named_uniform,
    seeds_from,
    shuffled,
    uniform,
)


def test_uniform_draws_are_the_same_as_in_earlier_versions() -> None:
    # Other numbers would change every result of the same seed.
    (found,) = uniform(3, 2, np.array([5]), stream=Stream.AUGMENTATION, count=9)
    assert found[:4].round(6).tolist() == [0.218445, 0.664327, 0.734893, 0.509832]
    assert found[4:].round(6).tolist() == [0.940918, 0.188842, 0.731068, 0.702404, 0.678304]


def test_stream_numbers_are_the_same_as_in_earlier_versions() -> None:
    assert {stream.name: stream.value for stream in Stream} == {
        "AUGMENTATION": 1,
        "MIXING": 2,
        "CACHED_VIEWS": 11,
    }


def test_the_first_draws_do_not_depend_on_their_count() -> None:
    few, many = (uniform(0, 1, np.arange(5), Stream.AUGMENTATION, count) for count in (7, 15))
    assert np.array_equal(many[:, :7], few)


def test_streams_seeds_epochs_and_images_share_no_number() -> None:
    drawn = [
        uniform(seed, epoch, np.arange(4), stream, 8)
        for seed in (0, 1, 2)
        for epoch in (0, 1, 2)
        for stream in (Stream.AUGMENTATION, Stream.MIXING)
    ]
    assert len(np.unique(drawn)) == np.size(drawn)


def test_named_draws_are_the_columns_in_the_order_of_the_names() -> None:
    found = named_uniform(1, 2, np.arange(6), Stream.MIXING, ("a", "b"))
    columns = uniform(1, 2, np.arange(6), Stream.MIXING, 2)
    assert np.array_equal(np.stack([found["a"], found["b"]], axis=1), columns)


def test_a_seed_is_made_of_all_bits_of_a_draw() -> None:
    draws = np.array([0.0, 0.5, 1 - 2.0**-53])
    assert list(seeds_from(draws)) == [0, 2**52, 2**53 - 1]


@pytest.mark.parametrize("count", [1, 2, 33, 1000])
def test_the_order_is_a_permutation(count: int) -> None:
    assert sorted(shuffled(count, seed=5, epoch=7)) == list(range(count))


def test_the_order_changes_with_the_epoch_and_the_seed_and_with_nothing_else() -> None:
    pairs = [(seed, epoch) for seed in range(4) for epoch in range(4)]
    np.random.seed(0)  # noqa: NPY002
    orders = {tuple(shuffled(50, *pair)) for pair in pairs}
    np.random.seed(1)  # noqa: NPY002
    assert {tuple(shuffled(50, *pair)) for pair in pairs} == orders
    assert len(orders) == len(pairs)


def test_the_order_is_the_same_on_every_machine() -> None:
    # Golden: with another order, a resumed run would not continue the one that was killed.
    assert shuffled(10, seed=0, epoch=3).tolist() == [5, 6, 4, 8, 0, 1, 2, 9, 7, 3]


def test_derived_seeds_have_the_recorded_values() -> None:
    assert derived_seed(0, 1) == 6403782323461907794
    assert derived_seed(3, 4, 5, -1) == 8828211065682419480
    assert derived_seed(0, 1, bits=31) == 819946834

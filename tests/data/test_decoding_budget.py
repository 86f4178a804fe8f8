from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from thaw.data.decoding_budget import (
    DecodingBudget,
    MemoryShare,
    state_of_processes,
    state_of_threads,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw.data.decoding_budget import BudgetState


def taking(budget: DecodingBudget, needed: int) -> tuple[threading.Thread, threading.Event]:
    """Start a thread that takes ``needed`` bytes; the event is set when it has them."""
    done = threading.Event()

    def take() -> None:
        budget.take(needed)
        done.set()

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    return thread, done


def test_images_wait_until_there_is_memory_and_are_admitted_in_order() -> None:
    budget = DecodingBudget(100)
    budget.take(60)
    budget.take(40)
    _, large = taking(budget, 70)
    time.sleep(0.05)
    _, small = taking(budget, 10)
    budget.give_back(40)
    assert not large.wait(0.1)
    assert not small.is_set()  # it fits, but it does not overtake
    budget.give_back(60)
    assert large.wait(5)
    assert small.wait(5)


def test_an_image_above_the_budget_is_decoded_alone() -> None:
    budget = DecodingBudget(100)
    budget.take(1)
    _, done = taking(budget, 500)
    assert not done.wait(0.1)
    budget.give_back(1)
    assert done.wait(5)
    _, other = taking(budget, 1)
    assert not other.wait(0.1)
    budget.give_back(500)
    assert other.wait(5)


def test_a_share_takes_once_and_returns_all() -> None:
    budget = DecodingBudget(100)
    share = MemoryShare(budget)
    share.take(0)
    share.take(90)
    share.take(80)
    _, done = taking(budget, 50)
    assert not done.wait(0.1)
    share.release()
    share.release()
    assert done.wait(5)


@pytest.mark.parametrize("state", [state_of_threads, state_of_processes])
def test_a_large_image_starts_after_images_that_took_fractions_of_a_byte(
    state: Callable[[], BudgetState],
) -> None:
    budget = DecodingBudget(100)
    budget.share(state())
    shares = MemoryShare(budget), MemoryShare(budget)
    for share, needed in zip(shares, (0.1, 0.2), strict=True):  # 0.1 + 0.2 - 0.1 - 0.2 is not 0
        share.take(needed)
    for share in shares:
        share.release()
    large = MemoryShare(budget)
    thread = threading.Thread(target=large.take, args=(500.5,), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_has_a_budget_of_its_own() -> None:
    budget = DecodingBudget(100)
    budget.take(100)
    child = os.fork()
    if not child:
        _, done = taking(budget, 100)
        os._exit(0 if done.wait(5) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_processes_that_share_a_state_wait_for_each_other() -> None:
    state = state_of_processes()
    budget = DecodingBudget(100)
    budget.share(state)
    budget.take(60)
    child = os.fork()
    if not child:
        budget.share(state)  # a fork starts with a state of its own
        _, small = taking(budget, 40)
        _, large = taking(budget, 50)
        waited = small.wait(5) and not large.wait(0.3)
        os._exit(0 if waited and large.wait(10) else 1)
    time.sleep(1)
    budget.give_back(60)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert state.used.value == 90

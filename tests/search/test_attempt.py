from __future__ import annotations

from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from thaw.search import attempt


def trial(number: int = 0, first: int | None = None, **attributes: Any) -> FrozenTrial:
    system = {} if first is None else {"failed_trial": first, "retry_history": [first]}
    made = create_trial(state=TrialState.RUNNING, user_attrs=attributes, system_attrs=system)
    made.number = number
    return made


def test_attempts_at_one_trial_have_the_same_first_attempt() -> None:
    assert attempt.first_attempt(trial(3)) == 3
    assert attempt.first_attempt(trial(5, first=3)) == 3


def test_the_next_attempt_keeps_given_values_and_retries() -> None:
    given = {"name": "advice", "beside": '{"seed": 3}', "of": 2}
    interrupted = trial(5, first=3, why="interrupted", worker={"attempt": 5, "pid": 1}, **given)
    again = attempt.next_attempt(interrupted)
    assert again.state == TrialState.WAITING
    assert again.user_attrs == given
    assert again.system_attrs == {"failed_trial": 3, "retry_history": [3]}
    assert attempt.next_attempt(trial(7)).system_attrs == {"failed_trial": 7}


def test_a_claim_that_optuna_copied_from_the_attempt_before_does_not_count() -> None:
    claimed = trial(4, worker={"attempt": 4, "pid": 1})
    copied = trial(5, first=4, worker={"attempt": 4, "pid": 1})
    assert [attempt.is_claimed(each) for each in (trial(4), claimed, copied)] == [
        False, True, False,
    ]  # fmt: skip


def test_the_claim_of_thaw_0_1_does_not_count() -> None:
    # It was a process id. A trial that still has one was left running by a killed worker.
    assert not attempt.is_claimed(trial(0, worker=11464))

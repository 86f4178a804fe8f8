from __future__ import annotations

from thaw.advice.tournament.deadline import Deadline


def test_without_minutes_time_is_never_over() -> None:
    deadline = Deadline(clock=lambda: 1e9)
    assert not deadline.is_over()
    assert not deadline.has_shortened


def test_a_comparison_is_shortened_only_if_something_was_left_out() -> None:
    times = iter([100.0, 219.0, 220.0, 0.0])
    deadline = Deadline(2.0, clock=lambda: next(times))
    assert not deadline.is_over()
    assert not deadline.has_shortened
    assert deadline.is_over()
    assert deadline.has_shortened
    assert deadline.is_over()

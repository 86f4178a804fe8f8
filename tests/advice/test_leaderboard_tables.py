from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from thaw.advice.leaderboard_tables import head_table, training_sentence, training_table
from thaw.advice.tournament.leaderboard import Row
from thaw.advice.tournament.training_choice import TrainingChoice, TrainingRow


def row(number: int, *, chosen: bool = False) -> Row:
    """Return a row with the log-loss ``number``."""
    return Row(
        "size", "pad", 224 + number, 1.0, "6 to 9", "lda", 0.3, number, 0.1, 0.5, 0.02, 0.25, 0.05,
        1.5, chosen,
    )  # fmt: skip


def shown(table: object) -> str:
    """Return the text of a table."""
    console = Console(width=150)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_the_best_heads_are_shown_and_the_chosen_one_always() -> None:
    text = shown(head_table([*(row(number) for number in range(20)), row(20, chosen=True)], 98))
    assert "pad 224" in text
    assert "< 0.010 ± 0.100" in text  # the loss of the first row is 0
    assert "pad 240" not in text
    assert "* " in text
    assert "pad 244" in text
    assert "+0.250 ± 0.050" in text


def test_trainings_are_shown_with_their_difference_to_the_head() -> None:
    rows = [
        TrainingRow("head alone", 0, 1.0, 0.7, 0.0, 0.0, 1.0, chosen=True),
        TrainingRow(
            "all blocks, lr 0.001, BatchNorm train", 1, 1.2, 0.6, 0.2, 0.05, 9.0, chosen=False
        ),
        TrainingRow(
            "last block, lr 0.0001, BatchNorm frozen", 1, 1.1, 0.6, 0.1, 0.05, 9.0, chosen=False
        ),
    ]
    text = shown(training_table(rows))
    assert "+0.200 ± 0.050" in text
    assert text.index("head alone") < text.index("last block, lr") < text.index("all blocks, lr")


def test_the_choice_of_a_training_is_a_sentence() -> None:
    alone = TrainingChoice("head alone", {"depth": 0}, [])
    assert "no training of blocks was compared" in training_sentence(alone)
    worse = TrainingRow("all blocks", 1, 1.2, 0.6, 0.2, 0.05, 9.0, chosen=False)
    assert "promised a lower loss" in training_sentence(replace(alone, rows=[worse]))
    blocks = TrainingChoice(
        "all blocks, lr 0.001, BatchNorm train", {"depth": 9}, [], is_better=True
    )
    found = training_sentence(blocks)
    assert (
        found
        == "Fine-tune: all blocks, lr 0.001, BatchNorm train. It was better than the head alone."
    )
    assert "expected to be better" in training_sentence(replace(blocks, is_better=False))

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from thaw.advice.leaderboard_tables import head_table, training_sentence, training_table
from thaw.advice.tournament.leaderboard import Row
from thaw.advice.tournament.training_choice import TrainingChoice
from thaw.advice.tournament.training_leaderboard import TrainingRow


def row(number: int, *, chosen: bool = False) -> Row:
    """Return a row with the log-loss ``number``."""
    return Row(
        "size", "pad", 224 + number, 1.0, "6 to 9", "lda", 0.3, number, 0.1, 0.5, 0.02, 0.25, 0.05,
        1.5, chosen,
    )  # fmt: skip


def training(name: str, epochs: int, loss: float, *, chosen: bool = False) -> TrainingRow:
    """Return a row whose difference to the head alone, which is chosen, is ``loss - 1``."""
    difference = (loss - 1, 0.05, loss - 1, 0.05)
    return TrainingRow(name, epochs, loss, 0.1, 0.6, 0.02, *difference, 9.0, chosen)


def shown(table: object) -> str:
    """Return the text of a table."""
    console = Console(width=150)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_the_best_heads_are_shown_and_the_chosen_one_always() -> None:
    text = shown(head_table([*(row(number) for number in range(20)), row(20, chosen=True)], 98))
    assert "pad 224" in text
    assert "< 0.010 ± 0.196" in text  # the loss of the first row is 0; its error is 0.1
    assert "pad 240" not in text
    assert "* " in text
    assert "pad 244" in text
    assert "+0.250 ± 0.098" in text
    assert "±: half of a 95 % interval" in text


def test_trainings_are_shown_with_their_difference_to_the_head() -> None:
    rows = [
        training("head alone", 0, 1.0, chosen=True),
        training("all blocks, lr 0.001, BatchNorm train", 1, 1.2),
        training("last block, lr 0.0001, BatchNorm frozen", 1, 1.1),
    ]
    text = shown(training_table(rows))
    assert text.count("+0.200 ± 0.098") == 2  # to the head, which is the chosen one: 1.96 errors
    assert "1.200 ± 0.196" in text
    assert "0.600 ±" not in text  # an interval of a share near 1 is not that of a normal mean
    assert "±: half of a 95 % interval" in text
    assert text.index("head alone") < text.index("last block, lr") < text.index("all blocks, lr")


def test_the_choice_of_a_training_is_a_sentence() -> None:
    alone = TrainingChoice("head alone", {"depth": 0}, [])
    assert "no training of blocks was compared" in training_sentence(alone)
    worse = training("all blocks", 1, 1.2)
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

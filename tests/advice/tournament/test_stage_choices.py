from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from thaw.advice.tournament.head_choice import HeadChoice
from thaw.advice.tournament.stage_choices import (
    HeadMethod,
    read_augment,
    read_head_method,
    write_head_choice,
    write_training_choices,
)
from thaw.config.data_sections import Augment, FixedAugment
from thaw.errors import ThawError

if TYPE_CHECKING:
    from pathlib import Path

CHOICE = HeadChoice({"head.taps": [2, 3]}, [], images=40, folds=5)


def test_a_later_stage_reads_how_the_head_was_made(tmp_path: Path) -> None:
    choice = replace(CHOICE, validation_differs=True)
    head = HeadMethod("lda", 0.3, is_compared=True, validation_differs=True)
    write_head_choice(choice, head, tmp_path)
    assert read_head_method(tmp_path) == head
    content = json.loads((tmp_path / "choices.json").read_text())
    assert content["values"] == {"head.taps": [2, 3]}
    assert (content["images"], content["folds"]) == (40, 5)
    assert (tmp_path / "leaderboard.csv").read_text().startswith("step,")


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}"])
def test_a_damaged_file_names_the_command_that_repairs_it(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "choices.json").write_text(text)
    with pytest.raises(ThawError, match=r"choices\.json is missing or damaged.*thaw repair"):
        read_head_method(tmp_path)


def test_chosen_augmentations_take_the_place_of_auto(tmp_path: Path) -> None:
    section = Augment(crop="auto", flip="auto", rotate=6.0)
    write_training_choices(
        {"augment.crop": 0.2, "augment.flip": 0.0, "unfreeze.depth": 3}, tmp_path
    )
    assert read_augment(section, tmp_path) == FixedAugment(crop=0.2, flip=0.0, rotate=6.0)


def test_given_augmentations_need_no_file(tmp_path: Path) -> None:
    assert read_augment(Augment(crop=0.3, flip=0.1), tmp_path).crop == 0.3


@pytest.mark.parametrize("text", ["{}", "[]", "no JSON", '{"values": {"augment.crop": 7}}'])
def test_a_damaged_choice_of_augmentations_names_its_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(ThawError, match=r"choices\.json is missing or damaged"):
        read_augment(Augment(crop="auto"), tmp_path)
    (tmp_path / "choices.json").write_text(text)
    with pytest.raises(ThawError, match=r"choices\.json is missing or damaged"):
        read_augment(Augment(crop="auto"), tmp_path)

"""The files in which stages report what they have chosen, and which later stages read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from thaw.advice.tournament.leaderboard import leaderboard_csv
from thaw.config.data_sections import FixedAugment
from thaw.config.section import AUTO
from thaw.errors import REPAIR, ThawError
from thaw.system.files import write_json, write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.advice.tournament.development import Development
    from thaw.advice.tournament.head_choice import HeadChoice
    from thaw.config.data_sections import Augment
    from thaw.config.params import Params
    from thaw.literals import HeadFit

CHOICES, LEADERBOARD = "choices.json", "leaderboard.csv"
_AUGMENT = "augment."


@dataclass(frozen=True)
class HeadMethod:
    """The way in which the head warm-up made the head.

    ``strength`` is, for logistic and svm, the inverse of the penalty's strength: a larger one
    regularises less. For lda it is the shrinkage. ``is_compared`` is true if the head, its blocks
    or its input were chosen by a comparison. If ``validation_differs``, the comparison predicted
    validation images from training images.
    """

    fit: HeadFit
    strength: float | Literal["auto"]
    is_compared: bool
    validation_differs: bool = False

    @classmethod
    def of(cls, choice: HeadChoice, params: Params) -> HeadMethod:
        """Return how the head of ``params`` is made, which hold the values of ``choice``."""
        settings = params.warmup_head
        assert settings.fit != AUTO
        return cls(settings.fit, settings.strength, bool(choice.rows), choice.validation_differs)

    def in_compared_folds(self, images: Development) -> Development:
        """Return ``images`` in the folds of the comparison."""
        return images.by_split() if self.validation_differs else images


def write_head_choice(choice: HeadChoice, head: HeadMethod, folder: Path) -> None:
    """Write ``choices.json`` and ``leaderboard.csv`` into the report ``folder``."""
    content = {key: value for key, value in choice.as_json().items() if key != "rows"}
    content |= {"fit": head.fit, "strength": head.strength, "is_compared": head.is_compared}
    write_json(folder / CHOICES, content)
    write_whole(folder / LEADERBOARD, leaderboard_csv(choice.rows).encode())


def write_training_choices(values: dict[str, Any], folder: Path) -> None:
    """Write the ``values`` by dotted key that the stage unfreeze has chosen into ``folder``."""
    write_json(folder / CHOICES, {"values": values})


def read_augment(section: Augment, folder: Path) -> FixedAugment:
    """Return ``section`` with the values in place of ``auto`` that the stage unfreeze has chosen.

    They are in its report ``folder``. It is not read if nothing is ``auto``.

    Raises:
        ThawError: the file is missing or damaged.
    """
    if AUTO not in {section.crop, section.flip}:
        return section.fixed()
    path = folder / CHOICES
    try:
        values = json.loads(path.read_text())["values"]
        chosen = {
            key.removeprefix(_AUGMENT): value
            for key, value in values.items()
            if key.startswith(_AUGMENT)
        }
        return FixedAugment.model_validate({**section.model_dump(), **chosen})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ThawError(f"{path} is missing or damaged; {REPAIR}") from None


def read_head_method(folder: Path) -> HeadMethod:
    """Return how the head was made, from the report ``folder``.

    Raises:
        ThawError: the file is missing or damaged.
    """
    path = folder / CHOICES
    try:
        content = json.loads(path.read_text())
        return HeadMethod(
            content["fit"],
            content["strength"],
            content["is_compared"],
            content["validation_differs"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise ThawError(f"{path} is missing or damaged; {REPAIR}") from None

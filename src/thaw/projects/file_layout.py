"""Convert the outputs of earlier versions to the files that ``dvc.yaml`` lists.

Earlier ``dvc.yaml`` listed folders, which DVC removes together with the files of a user in them.
Now it lists files, which a stage must always write, by the same names.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from thaw.advice.tournament.head_choice import NOTHING_IS_AUTO, HeadChoice
from thaw.advice.tournament.stage_choices import (
    CHOICES,
    LEADERBOARD,
    HeadMethod,
    write_head_choice,
    write_training_choices,
)
from thaw.advice.tournament.training_leaderboard import write_leaderboard
from thaw.data import earlier_packs, packed_store
from thaw.errors import ThawError
from thaw.model import directory
from thaw.model.sealed_files import SPEC
from thaw.projects import earlier_metrics, earlier_pages, earlier_pictures
from thaw.system.files import write_whole
from thaw.system.project_paths import DEPLOYED, MODELS, PREPARED, REPORTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WARMUP_REPORT, _UNFREEZE_REPORT = REPORTS / "warmup_head", REPORTS / "unfreeze"
_NO_PACK = {"encoding": "unknown"}  # there is nothing to convert
_DIGITS = PREPARED / "digits"  # now in .thaw
_DIGIT_NAME = re.compile(r"\d/\d{4}\.png")
_DIGIT_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (8).to_bytes(4, "big") * 2


def pending() -> list[Path]:
    """Return the files that :func:`convert` writes or removes, as one path for all digits."""
    found = []
    if images := _earlier_images():
        found += [images, PREPARED / packed_store.SETTINGS]
    if any(_digits()):
        found.append(_DIGITS)
    if _lacks_statistics():
        found.append(DEPLOYED / directory.STATISTICS)
    if _lacks_choice():
        found.append(_WARMUP_REPORT / CHOICES)
    if picture := earlier_pictures.missing_picture():
        found.append(picture)
    if _lacks_trainings():
        found.append(_UNFREEZE_REPORT / LEADERBOARD)
    if _lacks_training_choice():
        found.append(_UNFREEZE_REPORT / CHOICES)
    if report := earlier_metrics.missing_report():
        found.append(report)
    return found + earlier_pages.missing_pages()


def convert() -> None:
    """Convert the outputs in the working directory; files that thaw did not write stay.

    Raises:
        ThawError: a file cannot be written.
    """
    try:
        if images := _earlier_images():
            _convert_pack(images)
        for path in list(_digits()):
            path.unlink()
        for folder in (*_DIGITS.glob("*/"), _DIGITS):
            with suppress(OSError):  # it contains other files, or does not exist
                folder.rmdir()
    except OSError as error:
        raise ThawError(
            f"{error.filename}: {error.strerror}; remove the cause, then run `thaw upgrade` again"
        ) from None
    if _lacks_statistics():
        directory.write_no_statistics(DEPLOYED)
    if _lacks_choice():
        nothing = HeadChoice({}, [], note=NOTHING_IS_AUTO)
        write_head_choice(
            nothing, HeadMethod("gradient", "auto", is_compared=False), _WARMUP_REPORT
        )
    earlier_pictures.draw_missing_picture()
    if _lacks_trainings():
        write_leaderboard([], _UNFREEZE_REPORT)
    if _lacks_training_choice():
        write_training_choices({}, _UNFREEZE_REPORT)
    earlier_metrics.write_missing_report()
    earlier_pages.write_missing_pages()


def _earlier_images() -> Path | None:
    """Return the file of images of an earlier version, if it is there."""
    if (PREPARED / packed_store.IMAGES).exists() or "encoding" in _settings():
        return None
    names = earlier_packs.IMAGES.values()
    return next((path for name in names if (path := PREPARED / name).is_file()), None)


def _convert_pack(images: Path) -> None:
    settings = {**_settings(), "encoding": earlier_packs.encoding_of(PREPARED)}
    write_whole(PREPARED / packed_store.SETTINGS, json.dumps(settings).encode())
    images.rename(PREPARED / packed_store.IMAGES)


def _settings() -> dict[str, Any]:
    """Return the settings of the pack, ``_NO_PACK`` if there are none."""
    try:
        settings: dict[str, Any] = json.loads((PREPARED / packed_store.SETTINGS).read_text())
        return settings if isinstance(settings, dict) else _NO_PACK
    except (OSError, ValueError):
        return _NO_PACK


def _digits() -> Iterator[Path]:
    """Yield the images that earlier versions wrote for the source ``digits``."""
    for path in () if _DIGITS.is_symlink() else _DIGITS.glob("*/*.png"):
        if _DIGIT_NAME.fullmatch(path.relative_to(_DIGITS).as_posix()) and path.is_file():
            with path.open("rb") as stream:  # a photograph may have such a name
                if stream.read(len(_DIGIT_START)) == _DIGIT_START:
                    yield path


def _lacks_statistics() -> bool:
    """Return whether the deployed model is one of earlier versions without BatchNorm."""
    has_model = (DEPLOYED / SPEC).is_file()
    return has_model and not (DEPLOYED / directory.STATISTICS).exists()


def _lacks_choice() -> bool:
    """Return whether the head is one of earlier versions, which chose nothing."""
    has_model = (MODELS / "warmup_head" / SPEC).is_file()
    return has_model and not (_WARMUP_REPORT / CHOICES).exists()


def _lacks_trainings() -> bool:
    """Return whether the fine-tuned model is one of earlier versions, which compared none."""
    has_model = (MODELS / "unfreeze" / SPEC).is_file()
    return has_model and not (_UNFREEZE_REPORT / LEADERBOARD).exists()


def _lacks_training_choice() -> bool:
    """Return whether the fine-tuned model is one of earlier versions, which wrote no choice."""
    has_model = (MODELS / "unfreeze" / SPEC).is_file()
    return has_model and not (_UNFREEZE_REPORT / CHOICES).exists()

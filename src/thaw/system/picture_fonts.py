"""Fonts for characters of labels that matplotlib's default font does not have."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from matplotlib import font_manager
from matplotlib.text import Text

from thaw.system.console import warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

_PLACEHOLDERS = ("Last Resort", ".LastResort")  # fonts whose glyphs are boxes


@contextmanager
def complete_fonts(figure: Figure) -> Iterator[None]:
    """Add installed fonts to the texts of ``figure`` whose fonts lack characters; then draw it.

    A warning names each character that no installed font has, once in a process. matplotlib draws
    a box in its place. Texts whose characters are all in their font are not changed.
    """
    # It logs each installed family that has no face of the weight that was asked for.
    logging.getLogger(font_manager.__name__).setLevel(logging.ERROR)
    for text in figure.findobj(Text):
        missing = _missing(text)
        families = {character: _family_with(character) for character in sorted(missing)}
        if found := list(dict.fromkeys(name for name in families.values() if name)):
            text.set_fontfamily([*text.get_fontfamily(), *found])
        for character, name in families.items():
            if not name:
                _warn(character)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def _missing(text: Text) -> set[str]:
    """Return the characters of ``text`` that its font does not have; all fonts have ASCII."""
    if text.get_text().isascii():
        return set()
    own = _characters(font_manager.findfont(text.get_fontproperties()))
    return {each for each in text.get_text() if each.isprintable() and ord(each) not in own}


@cache
def _family_with(character: str) -> str:
    """Return the first installed family, by name, that has ``character``, "" if there is none."""
    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    families = sorted(name for name in installed if not name.startswith(_PLACEHOLDERS))
    found = (name for name in families if ord(character) in _characters(_font_file(name)))
    return next(found, "")


@cache
def _font_file(family: str) -> str:
    # the name is not given as a text, which would be parsed as a pattern: "A-B" is none
    return str(font_manager.findfont(font_manager.FontProperties(family=[family])))


@cache
def _characters(path: str) -> frozenset[int]:
    """Return the code points of the font file ``path``; none if matplotlib cannot draw it."""
    try:
        return frozenset(font_manager.get_font(path).get_charmap())
    except RuntimeError:  # a font of bitmaps, such as coloured emoji
        return frozenset()


@cache
def _warn(character: str) -> None:
    warn(
        f"no installed font has {character} (U+{ord(character):04X}): pictures show a box in its "
        "place; install a font, such as Debian's fonts-noto-cjk"
    )

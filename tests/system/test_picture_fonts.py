from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING

import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure

from thaw.system import picture_fonts
from thaw.system.pictures import write_figure

if TYPE_CHECKING:
    from pathlib import Path

RARE = "\U00020000"  # an ideograph that few fonts have


def figure(label: str) -> Figure:
    drawn = Figure(figsize=(2, 2))
    axis = drawn.subplots()
    axis.set_xticks([0, 1], [label, "plain"])
    axis.set_title(label)
    return drawn


@pytest.fixture(autouse=True)
def _first_warning() -> None:
    picture_fonts._warn.cache_clear()


def test_a_character_that_no_font_has_is_named_once_without_warnings_of_matplotlib(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_fonts, "_family_with", lambda _: "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("a.png", "b.svg"):
            write_figure(figure(f"犬 {RARE}"), tmp_path / name)
    said = capsys.readouterr().err
    assert said.count("U+72AC") == said.count("U+20000") == 1
    assert "install a font" in said


def test_the_font_of_boxes_that_comes_with_matplotlib_counts_as_no_font() -> None:
    assert "Last Resort High-Efficiency" in {
        entry.name for entry in font_manager.fontManager.ttflist
    }
    assert not picture_fonts._family_with(RARE).startswith("Last Resort")


def test_an_installed_font_that_has_the_character_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # STIX comes with matplotlib and has characters that the default font lacks.
    default = picture_fonts._characters(font_manager.findfont("DejaVu Sans"))
    stix = picture_fonts._characters(font_manager.findfont("STIXGeneral"))
    character = chr(min(stix - default))
    families: list[list[str]] = []
    drawn = figure(character)
    save = drawn.savefig

    def saved(*args: object, **options: object) -> None:
        families.extend([drawn.axes[0].title.get_fontfamily()])
        save(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(drawn, "savefig", saved)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_figure(drawn, tmp_path / "a.png")
    assert len(families[0]) == 2
    assert ord(character) in picture_fonts._characters(font_manager.findfont(families[0][1]))
    assert not capsys.readouterr().err


def test_a_text_whose_font_has_all_characters_keeps_its_font(tmp_path: Path) -> None:
    drawn = figure("Grüße, 3 °C")
    write_figure(drawn, tmp_path / "a.png")
    assert drawn.axes[0].title.get_fontfamily() == ["sans-serif"]


def test_a_family_without_the_usual_weight_is_searched_without_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entries = font_manager.fontManager.ttflist
    bold = next(one for one in entries if one.name == "DejaVu Sans" and one.weight == 700)
    only_bold = dataclasses.replace(bold, name="A Bold Face")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [only_bold, *entries])
    picture_fonts._family_with.cache_clear()
    write_figure(figure(RARE), tmp_path / "a.png")
    assert "A Bold Face" not in caplog.text

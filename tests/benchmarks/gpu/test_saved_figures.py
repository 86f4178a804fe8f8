from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.gpu.measurement import Figure
from benchmarks.gpu.saved_figures import SavedFigures, merged, table

if TYPE_CHECKING:
    from pathlib import Path

H100 = {"GPUs": "1 x H100"}


def test_the_table_says_which_targets_are_reached() -> None:
    figures = [
        Figure("speed", 0.97, target=0.95),
        Figure("time", 50.0, "s", target=45.0, at_most=True, note="digits"),
        Figure("rate", 1234.5, "images/s"),
    ]
    lines = table(H100, figures)
    assert lines[0] == "- GPUs: 1 x H100"
    assert lines[-3:] == [
        "| speed | 0.97 | >= 0.95 | yes |  |",
        "| time | 50 s | <= 45 | no | digits |",
        "| rate | 1234 images/s |  |  |  |",
    ]


def test_a_figure_is_saved_as_soon_as_it_is_measured(tmp_path: Path) -> None:
    saved = SavedFigures(tmp_path, H100)
    saved.add(Figure("share", 2.13, "%", target=3, at_most=True))
    table_so_far = saved.path.with_suffix(".md").read_text()
    assert table_so_far.splitlines()[-1] == "| share | 2.13 % | <= 3 | yes |  |"
    assert len(saved.path.read_text().splitlines()) == 2


def test_the_figures_of_several_commands_become_one_table(tmp_path: Path) -> None:
    first = SavedFigures(tmp_path / "first", H100)
    first.add(Figure("speed", 1.0, group="bare"))
    first.add(Figure("share, resnet", 2.0, "%", group="epochs"))
    first.add(Figure("best, resnet", 5.0, note="batch 64", group="epochs"))
    first.fail("FAILED: kills: no disk")
    first.path.rename(first.path.with_name("gpu-1.jsonl"))
    second = SavedFigures(tmp_path / "second", H100)
    second.add(Figure("speed", 3.0, group="training"))
    second.add(Figure("share, lite0", 5.0, "%", group="epochs"))
    second.add(Figure("best, resnet", 7.0, note="batch 128", group="epochs"))
    second.path.rename(second.path.with_name("gpu-2.jsonl"))
    lines = merged(tmp_path).splitlines()
    assert lines.count("- GPUs: 1 x H100") == 1
    assert lines[-6:] == [
        "| speed | 1 |  |  |  |",
        "| share, resnet | 2 % |  |  |  |",
        "| best, resnet | 7 |  |  | batch 128 |",
        "| speed | 3 |  |  |  |",
        "| share, lite0 | 5 % |  |  |  |",
        "FAILED: kills: no disk (gpu-1.jsonl)",
    ]


def test_a_folder_without_figures_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no gpu-"):
        merged(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"name": "spe', "no JSON"),
        ('{"name": "speed", "value": 1, "texts": 0}', "another version"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "gpu-1.jsonl").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=f"gpu-1.jsonl has .*{message}"):
        merged(tmp_path)

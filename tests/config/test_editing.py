from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import pytest
from dvc.utils.hydra import apply_overrides

from tests.project import ROOT
from thaw.config.editing import renamed_text, write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.values import flatten
from thaw.errors import ThawError

if TYPE_CHECKING:
    from pathlib import Path

SHORT = """\
# the project
seed: 0   # any number
data:
  source: digits
  path: data/raw   # the path
# about the head
head: {}
augment: {}   # nothing is changed

unfreeze:
  depth: 9   # blocks
  blocks: []

  # about the learning rate
  lr: 0.001

# where runs go
tracking:
  experiment: thaw
"""


def written(folder: Path, text: str = SHORT) -> Path:
    path = folder / "params.yaml"
    path.write_bytes(text.encode())
    return path


def diff(before: str, after: str) -> list[str]:
    """Return the lines that differ, as `diff` shows them, without their places."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


@pytest.mark.parametrize(
    ("key", "value", "lines"),
    [
        ("seed", 7, ["-seed: 0   # any number", "+seed: 7   # any number"]),
        ("unfreeze.lr", 3e-5, ["-  lr: 0.001", "+  lr: 0.00003"]),
        ("unfreeze.lr", 1.2345678901234e-11, ["-  lr: 0.001", "+  lr: 0.000000000012345678901234"]),
        ("unfreeze.depth", "auto", ["-  depth: 9   # blocks", "+  depth: auto # blocks"]),
        ("data.path", "a: b", ["-  path: data/raw   # the path", "+  path: 'a: b'     # the path"]),
        ("unfreeze.blocks", [3, 9], ["-  blocks: []", "+  blocks:", "+  - 3", "+  - 9"]),
    ],
)
def test_only_the_line_of_the_value_changes(
    tmp_path: Path, key: str, value: Any, lines: list[str]
) -> None:
    path = written(tmp_path)
    assert write_values({key: value}, path) == [key]
    assert diff(SHORT, path.read_text()) == lines
    assert flatten(load(Params, path))[key] == str(value)


@pytest.mark.parametrize(
    ("key", "value", "lines"),
    [
        ("data.root", "x", ["+  root: x"]),
        ("head.taps", [1, 9], ["-head: {}", "+head:", "+  taps:", "+  - 1", "+  - 9"]),
        ("head.dropout", 0.5, ["-head: {}", "+head:", "+  dropout: 0.5"]),
        (
            "augment.noise",
            0.1,
            [
                "-augment: {}   # nothing is changed",
                "+augment:      # nothing is changed",
                "+  noise: 0.1",
            ],
        ),
        ("unfreeze.epochs", 3, ["+  epochs: 3"]),
        ("unfreeze.batch_norm", "train", ["+  batch_norm: train"]),
        ("tracking.uri", "sqlite:///x", ["+  uri: sqlite:///x"]),
        ("fold_bn.epochs", 2, ["+fold_bn:", "+  epochs: 2"]),
        ("promote.provenance.data", False, ["+promote:", "+  provenance:", "+    data: false"]),
        ("search.space", {"head.hidden": [[], [8]]}, [
            "+search:", "+  space:", "+    head.hidden:", "+    - []", "+    - - 8",
        ]),
    ],
)  # fmt: skip
def test_a_key_that_is_not_there_is_inserted_into_its_section(
    tmp_path: Path, key: str, value: Any, lines: list[str]
) -> None:
    path = written(tmp_path)
    assert write_values({key: value}, path) == [key]
    assert diff(SHORT, path.read_text()) == lines


def test_an_inserted_key_stands_before_the_comment_of_the_next_section(tmp_path: Path) -> None:
    path = written(tmp_path)
    write_values({"unfreeze.patience": 9, "unfreeze.lr_decay": 0.5, "fold_bn.epochs": 1}, path)
    lines = path.read_text().splitlines()
    place = lines.index("# where runs go")
    assert lines[place - 5 : place + 2] == [
        "  patience: 9",
        "  lr_decay: 0.5",
        "fold_bn:",
        "  epochs: 1",
        "",
        "# where runs go",
        "tracking:",
    ]


def test_several_values_are_written_and_those_that_changed_are_returned(tmp_path: Path) -> None:
    path = written(tmp_path)
    values = {"unfreeze.lr": 0.5, "head.hidden": [64, 32], "seed": 0, "warmup_head.lr": 0.1}
    assert write_values(values, path) == ["unfreeze.lr", "head.hidden", "warmup_head.lr"]
    loaded = load(Params, path)
    assert (loaded.unfreeze.lr, loaded.head.hidden, loaded.warmup_head.lr) == (0.5, [64, 32], 0.1)


def test_values_that_the_file_or_the_defaults_have_leave_the_file_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, SHORT + "\n\n   \n# unusual:   \n")
    before = path.read_bytes()
    assert write_values({"seed": 0, "head.taps": [], "warmup_head.fit": "gradient"}, path) == []
    assert path.read_bytes() == before


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_endings_stay(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path, SHORT.replace("\n", ending))
    write_values({"seed": 7, "head.taps": [9]}, path)
    content = path.read_bytes().decode()
    assert content.count(ending) == content.count("\n") == len(SHORT.splitlines()) + 2


def test_a_file_without_a_last_line_break_keeps_it_that_way(tmp_path: Path) -> None:
    path = written(tmp_path, SHORT.rstrip())
    write_values({"tracking.experiment": "digits"}, path)
    assert path.read_text().endswith("experiment: digits")


@pytest.mark.parametrize("values", [{"head.taps": [3], "head.hidden": [2]}, {"head.hidden": []}])
@pytest.mark.parametrize("indent", ["", "  "])
def test_lists_in_block_form_are_edited(
    tmp_path: Path, values: dict[str, Any], indent: str
) -> None:
    text = (
        "head:\n  taps:   # blocks\n  @- 7\n  @- 9\n  hidden:   # widths\n  @- 16\n  @- 8\n"
        "\n# training\nunfreeze:\n  depth: 2\n"
    ).replace("@", indent)
    path = written(tmp_path, text)
    assert write_values(values, path) == list(values)
    after = path.read_text()
    kept = {"  taps:   # blocks", "", "# training", "unfreeze:", "  depth: 2"}
    assert kept <= set(after.splitlines())
    assert after.count("# widths") == 1
    loaded = flatten(load(Params, path))
    assert {key: loaded[key] for key in values} == {k: str(v) for k, v in values.items()}


def test_lists_in_flow_form_stay_in_flow_form(tmp_path: Path) -> None:
    path = written(tmp_path, "head:\n  taps: [7, 9]   # blocks\nunfreeze:\n  depth: 1\n")
    write_values({"head.taps": [5]}, path)
    assert path.read_text().splitlines()[1].startswith("  taps: [5] ")


def test_the_format_is_that_of_dvc(tmp_path: Path) -> None:
    """Compare the files that `dvc exp run -S` and `write_values` write."""
    changes = {"unfreeze.depth": 3, "head.taps": [3, 9], "augment.hue": 0.25}
    ours, theirs = tmp_path / "ours.yaml", tmp_path / "theirs.yaml"
    for path in (ours, theirs):
        path.write_text((ROOT / "params.yaml").read_text())
    write_values(changes, ours)
    apply_overrides(theirs, ["unfreeze.depth=3", "+head.taps=[3,9]", "+augment.hue=0.25"])
    assert ours.read_text() == theirs.read_text()


def test_dvc_changes_one_line_of_the_shipped_file(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    before = (ROOT / "params.yaml").read_text()
    path.write_text(before)
    apply_overrides(path, ["seed=3"])
    assert diff(before, path.read_text()) == ["-seed: 0", "+seed: 3"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"unfreeze.lrr": 1.0}, r"there is no parameter unfreeze\.lrr; did you mean unfreeze\.lr"),
        ({"unfreeze.lr.x": 1.0}, r"there is no parameter unfreeze\.lr\.x"),
        ({"unfreeze": {}}, r"there is no parameter unfreeze"),
        ({"unfreeze.lr": -1.0}, r"params\.yaml: unfreeze\.lr: .*greater than 0"),
        ({"seed": 1, "unfreeze.depth": "all"}, r"params\.yaml: unfreeze\.depth"),
        ({"seed": 1, "backbone.gabor": True}, r"params\.yaml: backbone\.gabor: it makes new"),
    ],
)
def test_a_mistake_writes_nothing(tmp_path: Path, values: dict[str, Any], reason: str) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ThawError, match=reason):
        write_values(values, path)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


OLD = """\
launch:
  processes: 1
  workers: 2   # loaders
  cache_gb: 3.0

tracking:
  experiment: thaw
"""


def test_renamed_keys_move_with_their_comments(tmp_path: Path) -> None:
    before = load(Params, written(tmp_path, OLD))
    text = renamed_text(OLD)
    assert text == (
        "launch:\n  processes: 1\n\ntracking:\n  experiment: thaw\n"
        "resources:\n  workers: 2   # loaders\n  cache_gb: 3.0\n"
    )
    assert load(Params, written(tmp_path, text)) == before
    assert renamed_text(text) == text


def test_a_write_renames_old_keys(tmp_path: Path) -> None:
    path = written(tmp_path, OLD)
    assert write_values({"resources.workers": 5}, path) == ["resources.workers"]
    loaded = load(Params, path)
    assert (loaded.resources.workers, loaded.resources.cache_gb) == (5, 3.0)
    assert "workers: 2" not in path.read_text()


def test_a_section_whose_keys_were_all_renamed_stays_empty() -> None:
    text = renamed_text("launch:\n  workers: 2\n# runs\ntracking: {}\n")
    assert text == "launch: {}\n# runs\ntracking: {}\nresources:\n  workers: 2\n"

from __future__ import annotations

import difflib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.project import ROOT
from thaw.config.editing import read_text, renamed_text, write_values
from thaw.config.editing import written as message_of
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.result_values import flatten
from thaw.errors import ThawError

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


def change(folder: Path, text: str, values: dict[str, Any]) -> list[str]:
    """Write ``values``, check that no other value changed, and return the lines that differ."""
    path = written(folder, text)
    before = flatten(load(Params, path))
    write_values(values, path)
    after = flatten(load(Params, path))
    expected = before | {key: str(value) for key, value in values.items()}
    assert after == expected
    found = difflib.ndiff(text.splitlines(keepends=True), read_text(path).splitlines(keepends=True))
    return [line for line in found if line.startswith(("-", "+"))]


JSON = '{"seed": 0, "unfreeze": {"lr": 0.001, "blocks": []}, "head": {}}\n'
FLOW = "seed: 0\nunfreeze: {lr: 0.001,  # rate\n  blocks: [1, 2]} # end\nhead: {}\n"
MARKED = (
    "%YAML 1.2\n---\n# start\nseed: 0 #\ttabs\there\n\"unfreeze\":\n    'lr': 1.0e-3 # rate\n"
    '    "depth": "auto"\n    blocks:\n    - 1 # one\n    - 0x2 # two\n...\n'
)
ANCHORS = (
    "unfreeze: &u\n  lr: &lr 0.001  # rate\n  epochs: 4\nfold_bn: *u\nwarmup_head:\n  <<: *u\n"
    "  patience: 3\nhead:\n  taps: &t [1, 2]\n  hidden: *t\n"
)
EXPLICIT = "? seed\n: 0\n? unfreeze\n: ? lr\n  : 0.001\n"


@pytest.mark.parametrize(
    ("text", "values", "lines"),
    [
        (JSON, {"unfreeze.depth": 3}, [JSON.replace("1, ", '1, "depth": 3, ')]),
        (JSON, {"head.taps": [1, 3]}, [JSON.replace("{}", '{"taps": [1, 3]}')]),
        (JSON, {"backbone.name": "lenet5", "backbone.weights": "none"}, [
            JSON.replace(', "unf', ', "backbone": {"name": "lenet5", "weights": "none"}, "unf'),
        ]),
        (JSON, {"unfreeze.blocks": [7]}, [JSON.replace("[]", "[7]")]),
        (FLOW, {"unfreeze.lr": 0.02}, ["unfreeze: {lr: 0.02,  # rate\n"]),
        (FLOW, {"unfreeze.patience": 2}, ["unfreeze: {lr: 0.001, patience: 2,  # rate\n"]),
        (FLOW, {"unfreeze.blocks": [3]}, ["  blocks: [3]} # end\n"]),
        (MARKED, {"seed": 5}, ["seed: 5 #\ttabs\there\n"]),
        (MARKED, {"unfreeze.lr": 0.02}, ["    'lr': 0.02   # rate\n"]),
        (MARKED, {"unfreeze.depth": 3}, ['    "depth": 3\n']),
        (MARKED, {"unfreeze.blocks": [1, 3]}, ["    - 3   # two\n"]),
        (MARKED, {"unfreeze.blocks": [1, 2, 4]}, ["    - 4\n"]),
        (MARKED, {"tracking.uri": "x"}, ["tracking:\n", "    uri: x\n"]),
        (ANCHORS, {"warmup_head.epochs": 9}, ["  epochs: 9\n"]),
        (ANCHORS, {"fold_bn.epochs": 9}, ["fold_bn:\n", "  <<: *u\n", "  epochs: 9\n"]),
        (ANCHORS, {"head.hidden": [8]}, ["  hidden:\n", "  - 8\n"]),
        (ANCHORS, {"head.taps": [1]}, ["  taps: &t [1]\n", "  hidden:\n", "  - 1\n", "  - 2\n"]),
        (ANCHORS, {"unfreeze.lr": 0.02}, [
            "  lr: &lr 0.02   # rate\n", "fold_bn:\n", "  <<: *u\n", "  lr: 0.001\n",
            "  lr: 0.001\n",
        ]),
        (ANCHORS, {"unfreeze.depth": 2}, [  # a key that the other sections do not have
            "  depth: 2\n", "fold_bn:\n", "  lr: 0.001\n", "  epochs: 4\n", "  lr: 0.001\n",
            "  epochs: 4\n",
        ]),
        (EXPLICIT, {"unfreeze.lr": 0.5}, ["  : 0.5\n"]),
        (EXPLICIT, {"unfreeze.depth": 3}, ["  depth: 3\n"]),
        (EXPLICIT, {"unfreeze.blocks": [3]}, ["  blocks:\n", "  - 3\n"]),
        ("data:\n  path: >-\n    a\n  root: b\n", {"data.path": "c"}, ["  path: c\n"]),
        ("unfreeze: !!map\n  depth: !!str auto\n", {"unfreeze.depth": 3}, ["  depth: 3\n"]),
        ("\ufeffseed: 0\nhead: {}\n", {"seed": 3}, ["\ufeffseed: 3\n"]),
        ("seed: 0\runfreeze:\r  lr: 0.1\r", {"unfreeze.lr": 0.2}, ["  lr: 0.2\r"]),
        ("seed: 0\r\nhead: {}\r\n", {"head.taps": [3]}, ["head:\r\n", "  taps:\r\n", "  - 3\r\n"]),
        ("{}", {"unfreeze.lr": 0.2}, ["unfreeze:\n", "  lr: 0.2"]),
        ("head:\n  taps: []\n\n# end", {"head.taps": [2]}, ["  taps:\n", "  - 2\n"]),
        ("unfreeze:\n  lr: 0.1   # a\n            # b\n  # next\n  patience: 2\n",
         {"unfreeze.lr": 0.03, "unfreeze.depth": 1}, ["  lr: 0.03  # a\n", "  depth: 1\n"]),
    ],
)  # fmt: skip
def test_every_form_of_yaml_is_edited_in_place(
    tmp_path: Path, text: str, values: dict[str, Any], lines: list[str]
) -> None:
    found = change(tmp_path, text, values)
    assert [line[2:] for line in found if line.startswith("+")] == lines
    removed = len([line for line in found if line.startswith("-")])
    assert removed <= len(lines) + text.count(">-")


CASE = """\
head:
  taps:                    # blocks
  - 7
  - 9
  hidden:                  # widths
  - 16
unfreeze:
  depth: 9                 # blocks
  batch_norm: train        # train | frozen
                           # affine | auto
  lr: 0.001
"""


def test_lists_that_dvc_wrote_in_block_form_do_not_prevent_an_edit(tmp_path: Path) -> None:
    values = {"unfreeze.depth": 2, "unfreeze.lr": 0.002, "head.hidden": []}
    assert [line[2:] for line in change(tmp_path, CASE, values) if line.startswith("+")] == [
        "  hidden: []               # widths\n",
        "  depth: 2                 # blocks\n",
        "  lr: 0.002\n",
    ]


def test_a_new_key_stands_behind_the_comment_lines_of_the_one_before(tmp_path: Path) -> None:
    text = CASE.replace("  lr: 0.001\n", "")
    change(tmp_path, text, {"fold_bn.lr": 0.5, "tracking.uri": "x"})
    added = "fold_bn:\n  lr: 0.5\ntracking:\n  uri: x\n"
    assert (tmp_path / "params.yaml").read_text() == text + added


def test_a_link_stays_a_link_and_the_file_that_it_names_is_edited(tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    real.write_text("seed: 0\n")
    link = tmp_path / "params.yaml"
    link.symlink_to(real)
    write_values({"seed": 1}, link)
    assert link.is_symlink()
    assert real.read_text() == "seed: 1\n"


def test_renamed_keys_in_brackets_and_with_other_line_endings_move(tmp_path: Path) -> None:
    text = "launch: {processes: 1, workers: 2}\r\nresources: {cache_gb: 0x3}\r\n"
    assert (
        renamed_text(text) == "launch: {processes: 1}\r\nresources: {workers: 2, cache_gb: 0x3}\r\n"
    )
    path = written(tmp_path, text.replace("0x3", "3"))
    assert load(Params, path).resources.workers == 2


_SPELLED = {
    "seed": ("0", "7"),
    "data.path": ("photos", "'a: b'", '"x"'),
    "head.taps": ("[]", "[1, 2]", "\n@- 1\n@- 2"),
    "head.dropout": ("0.0", "0.25"),
    "unfreeze.lr": ("0.001", "1.0e-3", "!!float 0.5"),
    "unfreeze.depth": ("auto", '"auto"', "0"),
    "tracking.experiment": ("thaw", "'quoted'", ">-\n@    folded"),
}
_NEW: dict[str, list[Any]] = {
    "seed": [0, 5], "data.path": ["new", "c: d"], "data.root": ["x"],
    "head.taps": [[], [3], [1, 2, 3]], "head.hidden": [[], [16]], "head.dropout": [0.5],
    "unfreeze.lr": [1e-5, 0.25],
    "unfreeze.depth": ["auto", 1], "unfreeze.epochs": [2], "tracking.experiment": ["mine"],
    "search.confirm_seeds": [1],
}  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Draw a params.yaml: some of the keys, each in one of its spellings, with comments."""
    lines, step = [], draw(st.sampled_from(["  ", "    "]))
    chosen = [key for key in _SPELLED if draw(st.booleans())]
    for section in dict.fromkeys(key.split(".")[0] for key in chosen):
        if draw(st.booleans()):
            lines.append(f"# about {section}")
        if section != "seed":
            lines.append(f"{section}:" + draw(st.sampled_from(["", "  # section"])))
        for key in (key for key in chosen if key.split(".")[0] == section):
            indent = "" if section == "seed" else step
            value = draw(st.sampled_from(_SPELLED[key])).replace("@", indent)
            comment = draw(st.sampled_from(["", f"   # {key}"])) if "\n" not in value else ""
            name = key.split(".")[-1]
            lines.append(f"{indent}{draw(st.sampled_from([name, repr(name)]))}: {value}{comment}")
            lines += draw(st.sampled_from([[], [""], [f"{indent}# below {key}"]]))
    text = "\n".join(lines or ["{}"])
    return (
        draw(st.sampled_from(["", "---\n"])) + text + draw(st.sampled_from(["", "\n", "\n...\n"]))
    )


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(documents(), st.sampled_from(["\n", "\r\n"]), st.data())
def test_only_the_values_that_are_written_change(
    text: str, ending: str, data: st.DataObject
) -> None:
    text = text.replace("\n", ending)
    keys = data.draw(st.lists(st.sampled_from(sorted(_NEW)), min_size=1, max_size=3, unique=True))
    values = {key: data.draw(st.sampled_from(_NEW[key])) for key in keys}
    with tempfile.TemporaryDirectory() as folder:
        change(Path(folder), text, values)
        after = read_text(Path(folder) / "params.yaml")
    kept = [line for line in text.splitlines() if line.lstrip().startswith("#")]
    assert [line for line in after.splitlines() if line.lstrip().startswith("#")] == kept
    for key in _SPELLED.keys() - values.keys():  # untouched values keep their spelling
        assert after.count(f"# {key}") == text.count(f"# {key}")
    assert after.count("\n") == after.count(ending)
    for key in _SPELLED.keys() & values.keys():
        assert after.count(f"   # {key}") <= text.count(f"   # {key}")


def test_the_message_about_written_values_names_the_next_command() -> None:
    assert message_of(["a.b"]) == "written into params.yaml: a.b. `dvc repro` trains with them"
    assert message_of([]).endswith("already: `dvc repro` trains with them, if it has not yet")

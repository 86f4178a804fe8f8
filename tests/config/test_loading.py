from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from ruamel.yaml import YAML

from tests.config.any_params import any_content
from thaw.config.loading import load, validate
from thaw.config.model_sections import Backbone
from thaw.config.params import Params
from thaw.config.result_values import flatten, result_digest
from thaw.config.section import Section
from thaw.errors import ProblemsError, ThawError

SHIPPED = Path(__file__).parents[2] / "params.yaml"


def every_key() -> str:
    """Return the text of a params.yaml that has every key."""
    stream = io.StringIO()
    YAML().dump(load(Params, SHIPPED).model_dump(), stream)
    return stream.getvalue()


def edited(folder: Path, key: str, *instead: str) -> Path:
    """Write a params.yaml that has every key; the line of ``key`` is replaced by ``instead``."""
    section, _, name = key.rpartition(".")
    lines = every_key().splitlines()
    start = lines.index(f"{section}:") if f"{section}:" in lines else 0
    indent = "  " if section else ""
    place = next(
        number
        for number in range(start, len(lines))
        if lines[number].startswith(f"{indent}{name}:")
    )
    lines[place : place + 1] = [indent + line for line in instead]
    path = folder / "params.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def complaint(path: Path) -> list[str]:
    """Return the lines of the error that reading ``path`` raises."""
    with pytest.raises(ThawError) as caught:
        load(Params, path)
    return str(caught.value).splitlines()


def test_the_shipped_file_is_valid() -> None:
    assert load(Params, SHIPPED).model_dump().keys() == Params.model_fields.keys()


@pytest.mark.parametrize(
    ("key", "extra", "right"),
    [
        ("unfreeze.depth", "depht: 9", "unfreeze.depht is unknown; did you mean unfreeze.depth?"),
        ("seed", "sede: 0", "sede is unknown; did you mean seed?"),
        ("seed", "evalute: {}", "evalute is unknown; did you mean evaluate?"),
        ("seed", "depth: 3", "depth is unknown; did you mean unfreeze.depth?"),
        (
            "augment.flip",
            "batch_norm: train",
            "augment.batch_norm is unknown; did you mean unfreeze.batch_norm?",
        ),
        (
            "tracking.uri",
            "zzzzqqqq: 3",
            "tracking.zzzzqqqq is unknown; the keys of tracking are uri, experiment, "
            "registered_model, system_metrics_seconds",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_its_path_and_the_nearest_right_name(
    tmp_path: Path, key: str, extra: str, right: str
) -> None:
    name = key.rpartition(".")[2]
    value = flatten(load(Params, SHIPPED))[key]
    path = edited(tmp_path, key, f"{name}: {value or repr(value)}", extra)
    assert complaint(path) == [f"{path}: {right}"]


def test_an_unknown_section_is_refused_with_the_names_of_all(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("zzzzqqqq: 3\n", encoding="utf-8")
    (line,) = complaint(path)
    sections = ", ".join(Params.model_fields)
    assert line == f"{path}: zzzzqqqq is unknown; the sections and keys are {sections}"


@pytest.mark.parametrize("key", ["seed", "prepare.short_side", "fold_bn.tolerance"])
def test_a_missing_key_has_its_default(tmp_path: Path, key: str) -> None:
    params = load(Params, edited(tmp_path, key))
    assert flatten(params)[key] == flatten(Params())[key]


def test_a_missing_section_has_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("seed: 3\n", encoding="utf-8")
    assert load(Params, path) == Params(seed=3)


def test_an_empty_section_is_refused_with_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("augment:\n", encoding="utf-8")
    (line,) = complaint(path)
    assert line == f"{path}: augment is empty: write `augment: {{}}` where all of it is default"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("seed", '"0"', "'0'"),
        ("seed", "true", "True"),
        ("seed", "-1", "-1"),
        ("seed", "2020-01-01", "datetime.date(2020, 1, 1)"),
        ("unfreeze.depth", "9.0", "9.0"),
        ("warmup_head.lr", "high", "'high'"),
        ("warmup_head.lr", "true", "True"),
        ("warmup_head.lr", ".nan", "nan"),
        ("warmup_head.lr", ".inf", "inf"),
        ("warmup_head.lr", "0.0", "0.0"),
        ("prepare.encoding", "png", "'png'"),
        ("unfreeze.batch_norm", "eval", "'eval'"),
        ("tracking.uri", "", "None"),
        ("head.hidden", "8", "8"),
    ],
)
def test_a_mistyped_value_is_refused_with_its_path(
    tmp_path: Path, key: str, text: str, value: str
) -> None:
    path = edited(tmp_path, key, f"{key.rpartition('.')[2]}: {text}")
    (line,) = complaint(path)
    assert line.startswith(f"{path}: {key}: ")
    assert line.endswith(f"but it is {value}")


def test_a_mistyped_value_in_a_list_is_refused_with_its_place(tmp_path: Path) -> None:
    path = edited(tmp_path, "head.hidden", "hidden: [64, 0]")
    (line,) = complaint(path)
    assert line.startswith(f"{path}: head.hidden.1: ")


def test_a_value_where_a_section_should_be_is_refused(tmp_path: Path) -> None:
    text = every_key()
    path = tmp_path / "params.yaml"
    path.write_text(text[: text.index("tracking:")] + "tracking: local\n", encoding="utf-8")
    (line,) = complaint(path)
    assert line.startswith(f"{path}: tracking: ")
    assert line.endswith("but it is 'local'")


def test_all_wrong_keys_are_listed_together_a_line_each(tmp_path: Path) -> None:
    path = edited(tmp_path, "unfreeze.depth", "deep: 9")
    text = path.read_text(encoding="utf-8").replace("seed: 0", "seed: none")
    path.write_text(text, encoding="utf-8")
    assert {line.removeprefix(f"{path}: ").split()[0] for line in complaint(path)} == {
        "seed:",
        "unfreeze.deep",
    }


@pytest.mark.parametrize("key", ["seed", "warmup_head.epochs"])
def test_a_key_given_twice_is_refused(tmp_path: Path, key: str) -> None:
    name = key.rpartition(".")[2]
    path = edited(tmp_path, key, f"{name}: 3", f"{name}: 4")
    (line,) = complaint(path)
    assert line.startswith(f"{path} is not valid YAML")
    assert f'found duplicate key "{name}"' in line
    assert "suppress" not in line  # the parser's advice: allow duplicate keys


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("seed 0\ndata: {}\n", "line 2, column 5: mapping values are not allowed here"),
        (
            "seed: 0\n---\nseed: 1\n",
            "line 2, column 1: expected a single document in the stream, "
            "but found another document",
        ),
    ],
)
def test_a_fault_of_the_text_is_named_with_its_line(
    tmp_path: Path, content: str, fault: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content, encoding="utf-8")
    remedy = "correct this line or the one above it"
    assert complaint(path) == [f"{path} is not valid YAML: {fault}: {remedy}"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"seed: [0\n", id="unclosed bracket"),
        pytest.param(b"data:\n\tsource: digits\n", id="tab"),
        pytest.param(b"seed: *nothing\n", id="unknown alias"),
        pytest.param(b"seed: !!python/object/apply:os.getcwd []\n", id="python tag"),
        pytest.param(b"seed: 0\n---\nseed: 1\n", id="two documents"),
        pytest.param(b"seed: \xff\n", id="not UTF-8"),
        pytest.param(b"seed: \x07\n", id="control character"),
        pytest.param(b"seed: !!int many\n", id="an int that is none"),
        pytest.param(b"seed: 2020-13-41\n", id="a date that is none"),
        pytest.param(b"", id="empty"),
        pytest.param(b"- seed\n", id="a list"),
    ],
)
def test_a_file_that_is_not_yaml_of_sections_is_refused_in_one_line_with_its_path(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    (line,) = complaint(path)
    assert line.startswith(str(path))


def test_a_key_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = edited(tmp_path, "seed", "seed: 0", "1: 2")
    (line,) = complaint(path)
    assert line.startswith(f"{path}: 1: ")


def test_a_missing_file_is_one_line_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    (line,) = complaint(path)
    assert str(path) in line
    assert "project's folder" in line


def test_a_folder_in_its_place_is_one_line_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.mkdir()
    (line,) = complaint(path)
    assert str(path) in line


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "0.001", "1E-3"])
def test_an_exponent_without_a_point_is_a_float(tmp_path: Path, text: str) -> None:
    # YAML 1.1, which DVC and PyYAML follow in part, reads 1e-3 as text.
    path = edited(tmp_path, "warmup_head.lr", f"lr: {text}")
    assert load(Params, path).warmup_head.lr == 0.001


def test_a_schema_of_some_sections_reads_only_those(tmp_path: Path) -> None:
    class Inputs(Section):
        seed: int
        backbone: Backbone

    path = edited(tmp_path, "unfreeze.depth", "depth: wrong")
    inputs = load(Inputs, path)
    whole = load(Params, SHIPPED)
    assert (inputs.seed, inputs.backbone) == (whole.seed, whole.backbone)


def test_the_result_digest_is_of_values_not_of_their_spelling(tmp_path: Path) -> None:
    digests = set()
    for text in ("1", "1.0", "1e0  # a comment"):
        path = edited(tmp_path, "regularize.clip_norm", f"clip_norm: {text}")
        digests.add(result_digest(load(Params, path)))
    assert len(digests) == 1


def test_problems_are_listed_a_line_each_under_their_summary() -> None:
    error = ProblemsError("the data cannot be used", ["a.png: empty", "b.png: truncated"])
    assert isinstance(error, ThawError)
    assert (
        str(error)
        == "the data cannot be used (2 problems):\n  - a.png: empty\n  - b.png: truncated"
    )


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "params.yaml")
    with pytest.raises(ThawError, match=r"params.yaml cannot be read: it is not a file"):
        load(Params, tmp_path / "params.yaml")


@pytest.mark.parametrize("name", ["promotion/base/champion/1", "promotion/a b/c/x"])
def test_the_name_of_a_decision_is_no_name_of_an_experiment(name: str) -> None:
    with pytest.raises(ThawError, match="experiment: choose another name: promotion/MODEL/ALIAS"):
        validate(Params, {"tracking": {"experiment": name}})
    assert validate(Params, {"tracking": {"experiment": "promotion/tests"}})


# For all valid files


@pytest.mark.slow
@pytest.mark.property
@given(any_content())
def test_valid_values_are_loaded_as_they_are_and_written_and_loaded_again(
    content: dict[str, dict[str, Any]],
) -> None:
    try:
        loaded = validate(Params, content)
    except ThawError:  # a combination that cannot work
        return
    values = loaded.model_dump()
    assert all(
        values[name][key] == value for name in content for key, value in content[name].items()
    )
    stream = io.StringIO()
    YAML().dump(loaded.model_dump(mode="json"), stream)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(stream.getvalue(), encoding="utf-8")
        again = load(Params, path)
    assert again == loaded
    assert result_digest(again) == result_digest(loaded)

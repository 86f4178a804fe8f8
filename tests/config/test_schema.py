from __future__ import annotations

import json

import pytest

from tests.project import ROOT
from thaw.config.parameter import parameters
from thaw.config.params import Params
from thaw.config.schema import SCHEMA_FILE, parameter_schema, range_text, schema, schema_text


def test_the_schema_in_the_repository_is_the_generated_one() -> None:
    text = (ROOT / SCHEMA_FILE).read_text(encoding="utf-8")
    assert text == schema_text(), "thaw params --schema > params.schema.json"


def test_params_yaml_names_the_schema_in_its_first_line() -> None:
    first = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA_FILE}"


def test_the_schema_refuses_unknown_keys_at_every_level() -> None:
    content = schema()
    assert content["additionalProperties"] is False
    assert all(part["additionalProperties"] is False for part in content["$defs"].values())


@pytest.mark.parametrize("key", [parameter.key for parameter in parameters(Params)])
def test_every_parameter_has_a_default_and_a_description_that_is_a_sentence(key: str) -> None:
    node = parameter_schema(key)
    assert "default" in node
    assert node["description"][-1] == "."
    assert range_text(node)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("seed", "integer from 0 below 2.14748e+09"),
        ("augment.flip", "number from 0 to 1 or auto"),
        ("warmup_head.lr", "number above 0 to 100"),
        ("unfreeze.depth", "integer from 0 to 1000 or auto"),
        ("prepare.encoding", "raw, jpeg"),
        ("backbone.gabor", "true, false"),
        ("head.taps", "list of integer from 1 to 1000 or auto"),
        ("tracking.uri", "text"),
    ],
)
def test_a_range_is_given_in_words(key: str, text: str) -> None:
    assert range_text(parameter_schema(key)) == text


def test_the_schema_is_valid_json_without_generated_titles() -> None:
    text = json.dumps(json.loads(schema_text()))
    assert '"title"' not in text

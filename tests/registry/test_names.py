from __future__ import annotations

import pytest

from thaw.errors import ThawError
from thaw.registry import names


@pytest.mark.parametrize(
    ("tag", "alias", "expected"),
    [
        ("gate", "champion", "gate"),
        ("gate.when", "champion", "gate.when"),
        ("gate", "staging", "gate/staging"),
        ("gate.report", "staging", "gate/staging.report"),
        ("gate", "gate", "gate/gate"),
    ],
)
def test_the_gate_of_each_alias_has_tags_of_its_own(tag: str, alias: str, expected: str) -> None:
    assert names.gate_tag(tag, alias) == expected


@pytest.mark.parametrize("end", ["/1", "/999999999", "@champion"])
def test_the_uri_of_a_version_has_a_number_or_an_alias(end: str) -> None:
    found = names.require_version(f"models:/a model{end}")
    assert found["name"] == "a model"
    assert end in {f"/{found['version']}", f"@{found['alias']}"}


@pytest.mark.parametrize("uri", ["models:/x", "models:/x/0", "models:/x/01", "models:/x/\u0663",
                                 f"models:/x/{10**20}", "models:/x/1/2", "runs:/x/1"])  # fmt: skip
def test_other_uris_are_refused_with_the_parameter(uri: str) -> None:
    with pytest.raises(ThawError, match=f"^backbone.weights: {uri}: must be models:/NAME@ALIAS or"):
        names.require_version(uri, "backbone.weights")


def test_a_uri_with_bytes_that_are_no_text_is_named() -> None:
    with pytest.raises(ThawError, match=r"^the model 'models:/\\udcff/1' has bytes"):
        names.require_version("models:/\udcff/1")

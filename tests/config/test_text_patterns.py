from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from thaw.config.explanations import explain
from thaw.config.params import Params
from thaw.config.schema import schema
from thaw.config.text_patterns import WORDS


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"tracking": {"registered_model": " a"}},
         "tracking.registered_model: should be a name of letters, digits, spaces, '_', '.' and "
         "'-', with at least one letter or digit, and no space at its beginning or end, but it is "
         "' a'"),
        ({"tracking": {"experiment": "a:b"}},
         "tracking.experiment: should be a name of letters, digits, spaces, '_', '.', '@', '/' and "
         "'-', with at least one letter or digit, and no space at its beginning or end, but it is "
         "'a:b'"),
        ({"backbone": {"name": "timm resnet"}},
         "backbone.name: should be a name of letters, digits, '_', '.', '/' and '-', which begins "
         "with a letter, a digit or '_', but it is 'timm resnet'"),
        ({"data": {"path": "a\x00"}},
         "data.path: should be a text without zero bytes, but it is 'a\\x00'"),
    ],
)  # fmt: skip
def test_a_refused_name_says_in_words_what_is_allowed(content: Any, line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Params.model_validate(content)
    assert explain(caught.value, Params) == [line]


def test_every_pattern_of_a_parameter_has_words() -> None:
    pattern_of_public_sets = r"^(torchvision|hf):\S+$"  # has a message of its own
    assert _patterns(schema()) - {pattern_of_public_sets} == set(WORDS)


def _patterns(part: Any) -> set[str]:
    if isinstance(part, list):
        return set().union(*map(_patterns, part))
    if not isinstance(part, dict):
        return set()
    own = {part["pattern"]} if isinstance(part.get("pattern"), str) else set()
    return own.union(*map(_patterns, part.values()))

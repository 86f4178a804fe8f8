from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import settings
from thaw.config import result_values as result_values_module
from thaw.config.data_sections import Augment
from thaw.config.model_sections import Head
from thaw.config.parameter import parameter, parameters
from thaw.config.params import Params
from thaw.config.result_values import (
    KEYS_WITHOUT_EFFECT,
    WITHOUT_EFFECT,
    changed_text,
    differing,
    flatten,
    result_digest,
    result_parameters,
    result_values,
    value_of,
)

NEUTRAL = json.loads((Path(__file__).parent / "neutral_values.json").read_text())
KEYS = [parameter.key for parameter in parameters(Params)]


def changed(node: Any, *path: str) -> Any:
    """Return ``node``, a section, with another value of the same type under ``path``."""
    name, *rest = path
    old: Any = getattr(node, name)
    if rest:
        new = changed(old, *rest)
    elif isinstance(old, dict):
        new = {}
    else:
        new = [*old, 8] if isinstance(old, list) else old + ("x" if isinstance(old, str) else 1)
    return node.model_copy(update={name: new})


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # a choice that does not exist
@pytest.mark.parametrize("key", KEYS)
def test_the_result_digest_changes_with_what_can_change_a_result(key: str) -> None:
    other = changed(settings.PARAMS, *key.split("."))
    same = result_digest(other) == result_digest(settings.PARAMS)
    assert same == (key.split(".")[0] in WITHOUT_EFFECT or key in KEYS_WITHOUT_EFFECT)


def test_neutral_values_are_those_of_the_introduction() -> None:
    """Compare with the recorded values: a change would change the digest of every result.

    Where the default of a parameter changes, give the old one as ``neutral=``. Where a parameter is
    new, add its default to neutral_values.json.
    """
    found = {
        parameter.key: parameter.neutral
        for parameter in parameters(Params)
        if parameter.key.split(".")[0] not in WITHOUT_EFFECT
    }
    assert found == NEUTRAL


def test_the_defaults_have_no_result_values() -> None:
    assert result_values(Params()) == {}


def test_result_values_are_the_values_of_the_named_sections_that_are_not_neutral() -> None:
    assert result_values(settings.PARAMS, ["seed", "backbone", "tracking", "resources"]) == {
        "backbone.image_size": 64,
        "backbone.crop_pct": 1.0,
    }


class NewHead(Head):
    """A head with a parameter that was added after a release."""

    scale: float = parameter(1.0, "A new parameter.")


class NewAugment(Augment):
    """Augmentation whose default of flip was changed after a release."""

    flip: float = parameter(0.25, "A changed default.", neutral=0.5)


class NewParams(Params):
    """The parameters of a later version."""

    head: NewHead = NewHead()


class ParamsWithNewDefault(Params):
    """The parameters of a later version with a changed default."""

    augment: NewAugment = NewAugment()


def test_a_new_parameter_with_a_default_changes_no_digest() -> None:
    old = settings.PARAMS
    new = NewParams.model_validate(old.model_dump())
    assert result_digest(new) == result_digest(old)
    assert result_values(new, ["head"]) == result_values(old, ["head"])


def test_a_new_parameter_with_another_value_changes_the_digest() -> None:
    assert result_digest(NewParams(head=NewHead(scale=2.0))) != result_digest(Params())


def test_a_changed_default_changes_the_digest_of_those_who_rely_on_it() -> None:
    assert result_values(ParamsWithNewDefault()) == {"augment.flip": 0.25}
    stated = ParamsWithNewDefault(augment=NewAugment(flip=0.5))
    assert result_digest(stated) == result_digest(Params())


def test_differing_values_are_those_that_differ_from_the_defaults() -> None:
    assert differing(Params()) == {}
    other = Params(seed=3, head=Head(hidden=[8]))
    assert differing(other) == {"seed": 3, "head.hidden": [8]}


def test_the_changed_text_is_one_line_without_what_changes_no_result() -> None:
    tracking = Params().tracking.model_copy(update={"uri": "https://user:secret@host"})
    prepare = Params().prepare.model_copy(update={"shard_mb": 50})
    params = Params(seed=3, head=Head(taps=[1] * 200), tracking=tracking, prepare=prepare)
    text = changed_text(params)
    assert text.startswith("seed=3, taps=[1, 1,")
    assert len(text) < 130
    assert "secret" not in text
    assert "shard_mb" not in text


def test_the_changed_text_ends_with_what_is_the_same_in_most_runs() -> None:
    data = Params().data.model_copy(update={"source": "csv", "path": "/a", "root": "/a"})
    backbone = Params().backbone.model_copy(update={"image_size": "auto"})
    prepare = Params().prepare.model_copy(update={"jpeg_pixels": "all", "val_fraction": 0.2})
    head = Head(taps=[1])
    text = changed_text(Params(seed=3, data=data, prepare=prepare, backbone=backbone, head=head))
    assert text == (
        "seed=3, taps=[1], val_fraction=0.2, data.source=csv, data.path=/a, "
        "data.root=/a, jpeg_pixels=all, image_size=auto"
    )


def test_the_changed_text_begins_with_what_people_vary_most_in_short_names() -> None:
    params = changed(settings.PARAMS, "unfreeze", "depth")
    for key in ("unfreeze.lr", "fold_bn.epochs", "augment.rotate", "backbone.crop_pct"):
        params = changed(params, *key.split("."))
    text = changed_text(params)
    names = [part.partition("=")[0] for part in text.split(", ")]
    assert names[:2] == ["depth", "unfreeze.lr"]  # other sections have a key lr as well
    order = [names.index(name) for name in ("fold_bn.epochs", "rotate", "crop_pct")]
    assert order == sorted(order)


def test_the_changed_text_begins_with_the_keys_that_are_asked_for() -> None:
    params = changed(Params(), "unfreeze", "lr")
    first = {"augment.rotate", "unfreeze.depth", "unfreeze.epochs", "tracking.uri"}
    text = changed_text(params, first)
    depth, rotate, epochs = params.unfreeze.depth, params.augment.rotate, params.unfreeze.epochs
    # also defaults; short names come before long ones
    expected = f"depth={depth}, rotate={rotate}, unfreeze.epochs={epochs}, unfreeze.lr="
    assert text.startswith(expected)
    assert "uri" not in text


@pytest.mark.parametrize("key", [key for key in KEYS if "." in key])
def test_a_short_name_in_the_changed_text_names_one_parameter(key: str) -> None:
    name = result_values_module._short_names(Params)[key]
    ends = [other for other in KEYS if other == name or other.endswith(f".{name}")]
    assert ends == [key] or key == "backbone.name"


def test_parameters_of_a_result_are_those_that_can_change_it() -> None:
    found = result_parameters(settings.PARAMS)
    assert found["unfreeze.lr_decay"] == str(settings.PARAMS.unfreeze.lr_decay)
    sections = {key.split(".")[0] for key in found}
    assert sections == set(Params.model_fields) - {"promote", "search", "tracking", "resources"}
    assert "prepare.shard_mb" not in found


def test_flatten_names_every_value_once_as_text() -> None:
    params = settings.PARAMS
    flat = flatten(params)
    assert flat["unfreeze.lr_decay"] == str(params.unfreeze.lr_decay)
    assert flat["head.hidden"] == str(params.head.hidden)
    assert flat["seed"] == str(params.seed)
    assert flat["promote.floors.accuracy"] == str(params.promote.floors["accuracy"])
    assert "tracking" not in flat


def test_a_value_is_found_by_its_dotted_key() -> None:
    assert value_of({"a": {"b": 1}}, "a.b") == 1
    with pytest.raises(KeyError):
        value_of({"a": {}}, "a.b")

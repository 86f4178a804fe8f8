from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.config.yaml_tree import parse

if TYPE_CHECKING:
    from thaw.config.yaml_tree import Node

TEXT = """\
%YAML 1.2
---
a: &x
  "b": !!int "5"  # c
  l: &z
  - 8
  - # c-d
    9 # f
  none:
  s: >-
    xx
    yy
  same: *z
f: &g {a: 1, b: [2]}
...
"""


def at(*names: str) -> Node:
    node = parse(TEXT)
    for name in names:
        found = node.find(name)
        assert found is not None
        node = found[1]
    return node


def content(node: Node) -> str:
    return TEXT[node.start : node.end]


def test_a_value_is_found_without_its_anchor_tag_and_comment() -> None:
    node = at("a", "b")
    assert (content(node), node.quote, node.text) == ('"5"', '"', "5")
    assert TEXT[node.outer : node.start] == "!!int "
    assert content(at("f")) == "{a: 1, b: [2]}"
    assert content(at("a", "same")) == "*z"
    assert at("a", "same").kind == "alias"


def test_a_block_ends_with_its_last_value_and_not_with_the_lines_after_it() -> None:
    assert content(at("a", "l")).endswith("9")
    assert [content(item) for item in at("a", "l").items] == ["8", "9"]
    assert content(at("a", "s")) == ">-\n    xx\n    yy"
    assert content(at("a")).endswith("*z")


def test_a_value_that_is_missing_stands_behind_its_colon() -> None:
    node = at("a", "none")
    assert TEXT[: node.start].endswith("none:")
    assert node.start == node.end


def test_values_in_brackets_are_flow() -> None:
    assert at("f", "b").is_flow
    assert at("f", "a").is_flow
    assert not at("a", "l").is_flow
    assert parse("{}").is_empty
    assert not at("f").is_empty


def test_a_key_that_comes_by_an_alias_is_not_there_itself() -> None:
    node = parse("a: &x {b: 1}\nc:\n  <<: *x\n").find("c")
    assert node is not None
    assert node[1].find("b") is None


def test_a_path_leads_from_mapping_to_mapping() -> None:
    root = parse("a: {b: {c: 1}}\nd: 2\n")
    found = root.find_path(["a", "b", "c"])
    assert found is not None
    assert [node.text for node in found] == ["c", "1"]
    assert root.find_path(["a", "x", "c"]) is None
    assert root.find_path(["d", "x"]) is None

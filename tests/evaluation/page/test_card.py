from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import ModelCard

from tests.evaluation.page import example
from thaw.evaluation.page.card import description, escape_markdown, model_card, with_metadata
from thaw.evaluation.page.content import complete, measure

if TYPE_CHECKING:
    from thaw.evaluation.page.subject import Subject


@pytest.fixture(scope="module")
def content(project: Subject) -> dict[str, Any]:
    return complete(measure(project), project, example.REGISTRATION)


def test_the_hub_reads_the_scores_of_the_card(content: dict[str, Any]) -> None:
    card = ModelCard(model_card(content))
    data: Any = card.data
    assert data.pipeline_tag == "image-classification"
    assert data.model_name == "flowers version 1"
    found = {result.metric_type: result.metric_value for result in data.eval_results}
    expected = {row["name"]: round(row["value"], 6) for row in content["scores"]}
    assert found == expected
    assert card.text.lstrip().startswith("# flowers version 1")


def test_the_description_has_scores_limits_data_and_the_address_of_the_report(
    content: dict[str, Any],
) -> None:
    text = description(content, "#/experiments/1/runs/2/artifacts/report.html")
    accuracy = content["scores"][0]
    assert f"| accuracy | **{accuracy['value']:.4f}** | {accuracy['low']:.4f} to" in text
    for part in ("## Limits", "30 images: 15 for training", "](#/experiments/1", "dvc.lock digest"):
        assert part in text
    worst = min(content["test"]["rows"], key=lambda row: row["recall"])
    assert f"Class {worst['class']}: {worst['hits']} of {worst['support']}" in text
    assert "\n\n\n" not in text
    assert not text.startswith("---")


def test_the_header_names_backbone_and_licence_and_the_text_whose_licence_it_is(
    content: dict[str, Any],
) -> None:
    known = {"source": "timm/a.b", "base_model": "timm/a.b", "license": "mit"}
    card: Any = ModelCard(model_card({**content, "pretrained": known}))
    assert (card.data.base_model, card.data.license) == ("timm/a.b", "mit")
    assert r"weights of the backbone are those of timm/a.b, with the licence mit." in card.text


def test_a_licence_without_identifier_is_named_as_another_one(content: dict[str, Any]) -> None:
    known = {"source": "timm/a.b", "base_model": "timm/a.b", "license": "dinov3-license"}
    data: Any = ModelCard(model_card({**content, "pretrained": known})).data
    assert (data.license, data.license_name) == ("other", "dinov3-license")


def test_a_card_leaves_out_what_is_not_known_of_the_backbone(content: dict[str, Any]) -> None:
    card: Any = ModelCard(model_card({**content, "pretrained": {}}))
    assert card.data.library_name == "thaw"
    assert not {"base_model", "license", "license_name"} & card.data.to_dict().keys()
    assert "licence" not in card.text


@pytest.mark.parametrize(("is_timm", "library"), [(True, "timm"), (False, "thaw")])
def test_the_library_of_the_hub_is_timm_only_for_weights_in_its_form(
    is_timm: bool, library: str, content: dict[str, Any]
) -> None:
    made = model_card({**content, "pretrained": {"source": "x", "license": "apple-ascl"}})
    data: Any = ModelCard(with_metadata(made, is_timm=is_timm)).data
    assert (data.library_name, data.license_name) == (library, "apple-ascl")
    own: Any = ModelCard(with_metadata(made, is_timm=is_timm, license_id="mit"))
    assert own.data.license == "mit"
    assert "license_name" not in own.data.to_dict()
    assert own.text.strip() == ModelCard(made).text.strip()


def test_names_are_no_markdown(content: dict[str, Any]) -> None:
    text = description({**content, "classes": ["a|b", "<script>", "_c_"]})
    assert r"a\|b, \<script\>, \_c\_" in text
    assert escape_markdown("a&lt;b & c") == r"a\&lt;b \& c"
    assert escape_markdown("two\nlines") == "two lines"


def test_the_card_links_to_no_page_of_pypi_because_the_package_is_not_there(
    content: dict[str, Any],
) -> None:
    text = model_card(content)
    assert "with thaw (the Python package `thaw-vision`)" in text
    assert "pypi.org" not in text

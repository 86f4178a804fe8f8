"""The model card of a result: Markdown for the registry, and the format of Hugging Face.

Source: Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from thaw.evaluation.page.render import environment

if TYPE_CHECKING:
    from collections.abc import Mapping

CARD = "MODEL_CARD.md"
_MOST_WEAK = 3  # classes that are named because their recall is low
_LOW = 0.9  # recall
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&])")
_TASK = "image-classification"
# Licences that the hub has an identifier for; it calls every other one "other".
_IDENTIFIERS = {"apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "mit"}


def description(content: Mapping[str, Any], report: str = "") -> str:
    """Return the model card as Markdown: scores, limits, data, training, use, origin of the result.

    The registry shows it as the description of a version. ``content`` is what the report page
    shows, as ``page.content`` returns it. ``report`` is the address of that page, to which the card
    links; "" leaves the link out.
    """
    made = environment(autoescape=False)
    made.filters["md"] = escape_markdown
    rows = [row for row in content["test"]["rows"] if row["support"] and row["recall"] < _LOW]
    text = made.get_template("card.md.jinja").render(
        content=content,
        report=report,
        worst=sorted(rows, key=lambda row: float(row["recall"]))[:_MOST_WEAK],
        ece=next(row["value"] for row in content["scores"] if row["name"] == "ece"),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def model_card(content: Mapping[str, Any]) -> str:
    """Return the same text below a YAML header with the scores, which the Hugging Face hub reads.

    This is the file ``MODEL_CARD.md``.
    """
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type=_TASK,
            dataset_type="imagefolder",
            dataset_name=f"{content['name']} test split",
            dataset_split="test",
            metric_type=row["name"],
            metric_name=row["label"],
            metric_value=round(row["value"], 6),
        )
        for row in content["scores"]
    ]
    data = ModelCardData(
        library_name="thaw",
        pipeline_tag=_TASK,
        tags=["thaw", "transfer-learning", _TASK],
        metrics=[row["name"] for row in content["scores"]],
        model_name=f"{content['name']} version {content['version']}",
        eval_results=results,
        base_model=content["pretrained"].get("base_model"),
    )
    known = content["pretrained"].get("license")
    if known in _IDENTIFIERS:
        data.license = known
    elif known:
        data.license, data.license_name = "other", known
    return f"---\n{data.to_yaml()}\n---\n\n{description(content)}"


def with_metadata(card: str, *, is_timm: bool, license_id: str = "") -> str:
    """Return the file ``card`` for the hub: with the library that loads it, and its licence.

    ``license_id`` replaces the licence of the backbone's weights, which the card has without one.
    """
    from huggingface_hub import ModelCard

    made: Any = ModelCard(card)
    if is_timm:
        made.data.library_name = "timm"
    if license_id:
        made.data.license = license_id
        made.data.license_name = None
    return str(made)


def escape_markdown(text: str) -> str:
    """Return the text so that Markdown shows its characters, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))

from __future__ import annotations

from typing import TYPE_CHECKING

from tests import settings
from thaw.registry.descriptions import describe, with_note
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from pathlib import Path


def test_a_description_is_set_once_and_that_of_a_user_stays(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    tracking = settings.PARAMS.tracking.model_copy(update={"uri": uri})
    client, _ = connect(tracking)
    client.create_registered_model("flowers")
    client.create_model_version("flowers", source=str(tmp_path))
    describe(tracking, "flowers", 1, "the card")
    assert client.get_model_version("flowers", "1").description == "the card"
    client.update_model_version("flowers", "1", description="my own words")
    describe(tracking, "flowers", 1, "another card")
    assert client.get_model_version("flowers", "1").description == "my own words"


def test_a_note_of_the_gate_stands_above_the_card_and_replaces_an_earlier_note() -> None:
    first = with_note("**Gate: refused** for a reason\n", "# Card\n\ntext\n")
    assert first == "**Gate: refused** for a reason\n\n---\n\n# Card\n\ntext\n"
    assert with_note("**Gate: passed**", first) == "**Gate: passed**\n\n---\n\n# Card\n\ntext\n"
    assert with_note("**Gate: passed**", None) == "**Gate: passed**\n"
    assert with_note("**Gate: passed**", "**Gate: refused** of an earlier thaw\n") == (
        "**Gate: passed**\n"
    )


def test_a_description_has_as_many_characters_as_mlflow_stores() -> None:
    text = with_note("**Gate: passed**", "a line of the card\n" * 1000)
    assert 4900 < len(text) <= 5000
    assert text.startswith("**Gate: passed**\n\n---\n\na line")
    assert text.endswith(
        "a line of the card\n\n(shortened: the run has the whole text in MODEL_CARD.md)\n"
    )

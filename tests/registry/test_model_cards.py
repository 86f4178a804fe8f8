from __future__ import annotations

from typing import TYPE_CHECKING

from tests.registry.test_stored_results import tracking
from thaw.evaluation.page.card import CARD
from thaw.registry.model_cards import read_card
from thaw.system.files import write_whole
from thaw.system.project_paths import REPORTS
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.result_sections import Tracking

__all__ = ["tracking"]


def test_the_card_of_a_version_is_that_of_its_run(tracking: Tracking) -> None:
    uri = f"models:/{tracking.registered_model}/1"
    assert read_card(uri, lambda: tracking) == ""
    client, _ = connect(tracking)
    run_id = client.get_model_version(tracking.registered_model, "1").run_id
    client.log_text(str(run_id), "# the card", CARD)
    assert read_card(uri, lambda: tracking) == "# the card"


def test_only_the_deployed_model_of_the_project_has_the_card_of_its_result(
    tracking: Tracking,
    tmp_path: Path,
) -> None:
    write_whole(REPORTS / CARD, b"# last result")
    assert read_card(str(tmp_path / "models/fold_bn/merged"), lambda: tracking) == "# last result"
    assert read_card("models/other", lambda: tracking) == ""

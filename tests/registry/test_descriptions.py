from __future__ import annotations

from typing import TYPE_CHECKING

from tests import settings
from thaw.registry.descriptions import describe
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

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest

from tests.promotion.interrupted import died_before_the_alias
from tests.promotion.moves import versions
from tests.promotion.offering import examined, offer
from thaw.errors import ThawError
from thaw.promotion import promote as promotion
from thaw.promotion.rollback import rollback
from thaw.registry.artifact_check import ChangedArtifactError, check_artifact
from thaw.registry.names import DIGEST

if TYPE_CHECKING:
    from tests.promotion.offered import Shop


def stored(shop: Shop, name: str, version: int) -> Path:
    """Return the folder in which the local store keeps the model directory."""
    uri = shop.client.get_model_version_download_uri(name, str(version))
    (spec,) = Path(mlflow.artifacts.download_artifacts(uri)).rglob("model.json")
    return spec.parent


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_the_artifact_is_that_of_one_digest(local: Shop) -> None:
    versions(local, "checked", 1)
    digest = local.tags("checked", 1)[DIGEST]
    check_artifact(local.client, "checked", 1, digest)
    with pytest.raises(ChangedArtifactError, match="is not the model that was decided on"):
        check_artifact(local.client, "checked", 1, "0" * 64)
    flip(stored(local, "checked", 1) / "model.safetensors")
    with pytest.raises(ChangedArtifactError, match=r"version 1: 'model\.safetensors' was changed"):
        check_artifact(local.client, "checked", 1, digest)


@pytest.mark.slow
def test_an_artifact_that_changes_after_the_gate_does_not_get_the_alias(local: Shop) -> None:
    name = "swapped-late"
    for quality in ("good", "same"):
        local.register(name, quality)
    pair = examined(local, name, 2)
    flip(stored(local, name, 2) / "model.safetensors")
    with pytest.raises(ThawError, match="swapped-late version 2: "):
        promotion.record_result(*pair)
    assert local.aliases(name)["champion"] == 1


@pytest.mark.slow
def test_an_interrupted_move_to_an_artifact_that_was_changed_is_void(
    local: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name = "changed-meanwhile"
    died_before_the_alias(local, name, monkeypatch)
    flip(stored(local, name, 2) / "model.safetensors")
    local.ledger(name).complete()
    warning = " ".join(capfd.readouterr().err.split())
    assert re.search(r"was changed.*: the champion was not moved", warning)
    assert local.aliases(name)["champion"] == 1
    assert local.ledger(name).rows()[-1].state == "void"
    # Version 2 passed the gate, and nothing shows who changed its files: only force goes past it.
    refused = offer(local, name, 3)
    assert refused.verdict == "refused"
    (failed,) = (rule for rule in refused.rules if not rule.passed and "accuracy" in rule.name)
    assert failed.sentence.startswith("version 2 cannot be scored here")
    assert offer(local, name, 3, force=True, reason="files of 2 damaged").verdict == "forced"


@pytest.mark.slow
def test_a_rollback_to_an_artifact_that_was_changed_is_refused(local: Shop) -> None:
    name = "old-one-changed"
    for quality in ("good", "same"):
        local.register(name, quality)
    offer(local, name, 2)
    flip(stored(local, name, 1) / "model.safetensors")
    with pytest.raises(ThawError, match="old-one-changed version 1: "):
        rollback(local.ledger(name), "")
    assert local.aliases(name)["champion"] == 2

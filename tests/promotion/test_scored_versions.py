from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
import torch

from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.promotion import promote as promotion
from thaw.promotion import scored_versions
from thaw.promotion.candidate import find_candidate
from thaw.promotion.promote import PromotionRequest
from thaw.promotion.references import find_references

if TYPE_CHECKING:
    from tests.promotion.offered import Shop
    from thaw.config.process_sections import Launch, Resources


@pytest.mark.slow
def test_the_champion_is_the_first_version_to_compare_with(local: Shop) -> None:
    name = "scored-first"
    local.register(name)
    local.register(name, "same")
    candidate = find_candidate(local.ledger(name), 2)
    with contextlib.chdir(local.folder):
        found = scored_versions.score_versions(
            local.params,
            candidate,
            find_references(candidate),
            Prepared(local.prepared),
            torch.device("cpu"),
        )
    assert (found.challenger.version, [one.version for one in found.others]) == (2, [1])
    assert found.champion is found.others[0]
    assert found.challenger.metrics["accuracy"] == found.champion.metrics["accuracy"]
    assert found.challenger.probabilities is not None
    assert len(found.targets) == len(found.challenger.probabilities)


def test_versions_are_scored_in_one_process_in_float32(
    local: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "scored-precisely"
    local.register(name)
    local.register(name, "same")
    begun = []

    def start(launch: Launch, resources: Resources, device: torch.device | None) -> Any:
        begun.append((launch.precision, launch.processes, device))
        raise ThawError("seen")

    monkeypatch.setattr(scored_versions, "start", start)
    half = local.params.launch.model_copy(update={"precision": "bf16", "processes": 2})
    params = local.params.model_copy(update={"launch": half})
    request = PromotionRequest(name, "champion", device=torch.device("cpu"))
    with contextlib.chdir(local.folder), pytest.raises(ThawError, match="seen"):
        promotion.promote(params, local.prepared, request)
    assert begun == [("fp32", 1, torch.device("cpu"))]

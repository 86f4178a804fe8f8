from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import mlflow
import pytest

from tests.promotion.interrupted import Killed, killed_at
from tests.promotion.offering import examined, kinds, offer
from thaw.cli import registry_commands as commands
from thaw.errors import ThawError
from thaw.model import directory
from thaw.promotion import promote as promotion
from thaw.promotion.candidate import find_candidate
from thaw.promotion.promote import PromotionRequest
from thaw.promotion.rollback import rollback
from thaw.promotion.status import alias_statuses
from thaw.registry.champion_history import champion_stack
from thaw.registry.copying import copy_version
from thaw.registry.ledger import ConflictError
from thaw.registry.ledger_rows import Decision
from thaw.system import provenance

if TYPE_CHECKING:
    from pathlib import Path

    from tests.promotion.offered import Shop


@pytest.mark.slow
def test_an_equal_model_is_promoted_and_a_rollback_returns_to_the_first_one(any_shop: Shop) -> None:
    shop = any_shop
    name = "equal"
    shop.register(name)
    shop.register(name, "same")
    found = offer(shop, name)
    assert found.verdict == "passed", found.failed
    assert shop.aliases(name) == {"champion": 2, "previous": 1}
    tags = shop.tags(name, 2)
    assert tags["gate"] == "passed"
    assert tags["gate.against"] == "1"
    rollback(shop.ledger(name), "a bad night")
    assert shop.aliases(name) == {"champion": 1}
    start, first, second = shop.ledger(name).rows()
    old, new = (shop.tags(name, version)["thaw.model_digest"] for version in (1, 2))
    assert start.decision == Decision("first", None, 1, None, "first version, no gate", model=old)
    report = mlflow.artifacts.load_text(tags["gate.report"].replace(".html", ".json"))
    assert first.decision == Decision(
        "promotion", 1, 2, 1, found.summary, tags["gate.report"], model=new,
        report_digest=hashlib.sha256(report.encode()).hexdigest(),
    )  # fmt: skip
    assert second.decision == Decision("rollback", 2, 1, None, "a bad night", model=old)
    assert "@" in first.who
    with pytest.raises(ThawError, match="there is no previous champion"):
        rollback(shop.ledger(name), "")


@pytest.mark.slow
def test_a_worse_model_is_refused_and_the_refusal_is_recorded(shop: Shop) -> None:
    name = "worse"
    shop.register(name)
    shop.register(name, "bad")
    shop.client.update_model_version(name, "2", "the model card")
    offer(shop, name)
    found = offer(shop, name)  # the note of the second refusal replaces that of the first
    assert found.verdict == "refused"
    assert {rule.name for rule in found.failed} >= {"accuracy: not worse", "classes"}
    assert shop.aliases(name) == {"champion": 1, "challenger": 2}
    assert shop.tags(name, 2)["gate"] == "refused"
    _, first, row = shop.ledger(name).rows()
    assert first.decision.kind == row.decision.kind == "refusal"
    entry = shop.client.get_model_version(name, "2")
    assert str(entry.description).startswith("**Gate: refused** for @champion")
    assert str(entry.description).endswith("\n\n---\n\nthe model card")
    assert "✗ fail" in mlflow.artifacts.load_text(row.decision.report)
    content = json.loads(mlflow.artifacts.load_text(row.decision.report.replace(".html", ".json")))
    assert content["verdict"] == "refused"


@pytest.mark.slow
def test_force_needs_a_reason_and_is_recorded(local: Shop) -> None:
    name = "forced"
    local.register(name)
    local.register(name, "bad")
    with pytest.raises(ThawError, match="--force needs a reason"):
        offer(local, name, force=True, reason="  ")
    found = offer(local, name, force=True, reason="the customer insists")
    assert found.verdict == "forced"
    assert local.aliases(name) == {"champion": 2, "previous": 1}
    _, row = local.ledger(name).rows()
    assert row.decision.forced
    assert row.decision.why.count("the customer insists") == 1
    assert row.decision.why.startswith("the customer insists (")
    assert local.tags(name, 2)["gate.reason"] == "the customer insists"
    (champion, *_) = alias_statuses(local.client, name)
    assert "forced" in champion.gate
    assert not champion.moved_by_hand


@pytest.mark.slow
def test_without_a_champion_floors_and_provenance_alone_decide(local: Shop) -> None:
    name = "first"
    local.register(name)
    local.register(name, "same")
    found = offer(local, name, alias="staging")
    assert found.verdict == "passed"
    assert found.notes[0] == (
        "no version has the alias staging yet, so that nothing is compared: floors, ceilings and "
        "provenance alone decide"
    )
    assert found.summary.endswith("without a staging")
    assert local.aliases(name) == {"champion": 1, "challenger": 2, "staging": 2}


@pytest.mark.slow
def test_a_model_that_was_deleted_and_created_again_is_a_new_one(shop: Shop) -> None:
    name = "recreated"
    for quality in ("good", "same"):
        shop.register(name, quality)
    offer(shop, name, 2)
    old = len(shop.ledger(name).rows())
    late = examined(shop, name, 1)
    shop.client.delete_registered_model(name)
    assert shop.register(name, "same") == 1
    assert shop.aliases(name) == {"champion": 1}
    (row,) = shop.ledger(name).rows()
    assert (row.decision.kind, row.number) == ("first", old + 1)
    with pytest.raises(ThawError, match="there is no previous champion"):
        rollback(shop.ledger(name), "")
    with pytest.raises(ConflictError):  # it judged a version of the earlier model
        promotion.record_result(*late)
    shop.client.delete_registered_model(name)
    shop.register("source-again")
    copy_version("models:/source-again/1", name, shop.params.tracking)
    found = offer(shop, name, 1)
    assert found.verdict == "passed"
    assert any("which was deleted: this is a new model" in note for note in found.notes)
    assert [row.decision.kind for row in shop.ledger(name).all_rows()] == [
        "first", "promotion", "first", "promotion",
    ]  # fmt: skip


@pytest.mark.slow
def test_after_a_change_of_the_test_split_the_champion_is_scored_again_with_a_note(
    local: Shop, tmp_path: Path
) -> None:
    name = "resplit"
    local.register(name)
    local.register(name, "same")
    local.client.set_model_version_tag(name, "1", "thaw.test_digest", "another")
    found = offer(local, name)
    assert (
        "the test split changed since version 1 was scored: it was scored again on the current "
        "one, and may have been trained on images that are now in it: its scores may be too high"
    ) in found.notes
    assert found.metrics["accuracy"] == ("0.95", "0.95")


@pytest.mark.slow
def test_a_champion_of_other_classes_is_no_comparison_and_was_not_scored_again(
    local: Shop, tmp_path: Path
) -> None:
    name = "reclassed"
    classifier, spec = directory.load(local.folder / "good")
    renamed = spec.model_copy(update={"classes": [f"old {each}" for each in spec.classes]})
    directory.save(classifier, renamed, tmp_path / "old")
    local.models["old"] = tmp_path / "old"
    local.register(name, "old")
    local.register(name)
    local.client.set_model_version_tag(name, "1", "thaw.test_digest", "another")
    found = offer(local, name)
    assert (found.verdict, found.metrics["accuracy"][1]) == ("refused", "missing")
    assert not [note for note in found.notes if "scored again" in note or "Ways out" in note]
    reasons = {rule.sentence for rule in found.failed}
    assert len(reasons) == 1
    assert "Nothing can be compared with it" in reasons.pop()


@pytest.mark.slow
def test_notes_say_whether_the_rules_are_committed(
    local: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "uncommitted"
    for quality in ("good", "same", "same"):
        local.register(name, quality)
    assert any("this is no git checkout" in note for note in offer(local, name, 2).notes)
    monkeypatch.setattr(provenance, "git_state", lambda: ("c" * 40, True))
    found = offer(local, name, 3)
    assert (
        "params.yaml, dvc.yaml, thaw.lock or src differs from commit cccccccccccc: the rules may "
        "differ, too; commit the change" in found.notes
    )
    assert local.ledger(name).rows()[-1].decision.why.endswith("(the rules were not committed)")


def test_a_version_with_other_weights_than_registered_cannot_be_forced(local: Shop) -> None:
    name = "swapped"
    local.register(name)
    local.register(name, "same")
    local.client.set_model_version_tag(name, "2", "thaw.model_digest", "f" * 64)
    with pytest.raises(
        ThawError,
        match=r"^cannot be promoted: models:/swapped/2.* not what was registered.*; `thaw status`",
    ):
        offer(local, name, force=True, reason="never mind")
    assert local.aliases(name)["champion"] == 1


@pytest.mark.slow
def test_a_promotion_that_is_not_possible_is_refused_with_one_line(local: Shop) -> None:
    name = "lines"
    local.register(name)
    with pytest.raises(ThawError, match="no @challenger, and version 1 is the champion: name"):
        offer(local, name)
    with pytest.raises(ThawError, match="version 1 is the champion already"):
        offer(local, name, 1)
    for number in (0, 7):
        with pytest.raises(ThawError, match=rf"models:/lines/{number}: "):
            offer(local, name, number)
    with pytest.raises(ThawError, match="there is no registered model 'missing'"):
        offer(local, "missing")
    with pytest.raises(ThawError, match="moves that alias itself"):
        promotion.promote(local.params, local.prepared, PromotionRequest(name, "previous"))
    with pytest.raises(ThawError, match="--to Champion: the alias looks like 'champion'"):
        promotion.promote(local.params, local.prepared, PromotionRequest(name, "Champion", 1))
    with pytest.raises(ThawError, match="is not a valid alias: start with a letter"):
        commands.history(local.params.tracking, name, "a/b")
    for alias in ("latest", "Latest", "v2", "V10"):
        with pytest.raises(ThawError, match="is reserved by MLflow"):
            commands.history(local.params.tracking, name, alias)


@pytest.mark.slow
def test_a_refusal_in_between_is_no_conflict(shop: Shop) -> None:
    name = "between"
    for quality in ("good", "same", "bad"):
        shop.register(name, quality)
    slow = examined(shop, name, 2)
    assert offer(shop, name, 3).verdict == "refused"
    promotion.record_result(*slow)
    assert shop.aliases(name)["champion"] == 2
    assert kinds(shop, name) == ["first", "refusal", "promotion"]


@pytest.mark.slow
@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.soak)])
def test_a_promotion_killed_between_two_steps_is_completed_or_has_no_effect(
    shop: Shop, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"killed-{stride}"
    shop.register(name)
    versions = [shop.register(name, "same") for _ in range(2)]
    _, passed = examined(shop, name, versions[0])
    steps = 0
    while True:
        version = versions[shop.aliases(name)["champion"] == versions[0]]
        before = shop.aliases(name)
        seen = find_candidate(shop.ledger(name), version)
        pair = seen, replace(passed, version=version, against=seen.against)
        history = shop.ledger(name).rows()
        with monkeypatch.context() as patch:
            killed_at(steps, patch)
            try:
                promotion.record_result(*pair)
            except Killed:
                died = True
            else:
                died = False
        found = {one.alias: one for one in alias_statuses(shop.client, name)}
        assert not any(one.moved_by_hand for one in found.values())
        rows = shop.ledger(name).rows()
        assert rows[: len(history)] == history
        after = {**before, "champion": version, "previous": before["champion"]}
        if after.get("challenger") == version:
            del after["challenger"]
        if len(rows) == len(history):
            assert died
            assert shop.aliases(name) == before
        else:
            assert shop.aliases(name) == after
            assert rows[-1].state == "done"
            assert shop.tags(name, version)["gate"] == "passed"
        if not died:
            break
        steps += stride
    assert steps >= 12  # two files, a description, five tags, the row, three aliases, its end
    assert champion_stack(shop.ledger(name).rows())[-1] == version

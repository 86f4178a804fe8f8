from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import queue
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import mlflow
import pytest
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

from tests.promotion.offered import Shop
from tests.promotion.racer import race
from thaw.cli import main as cli
from thaw.errors import ThawError
from thaw.promotion import commands
from thaw.promotion import promote as promotion
from thaw.promotion.candidate import find_candidate
from thaw.promotion.promote import PromotionRequest
from thaw.promotion.rollback import rollback
from thaw.promotion.status import alias_statuses
from thaw.registry.champion_history import champion_stack
from thaw.registry.copying import copy_version
from thaw.registry.ledger import ConflictError, Ledger
from thaw.registry.ledger_rows import Decision
from thaw.system import provenance

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.process_sections import Launch, Resources
    from thaw.promotion.candidate import Candidate
    from thaw.promotion.gate_report import Report

WRITES = (
    "log_text",
    "update_model_version",
    "set_model_version_tag",
    "create_experiment",
    "set_experiment_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("project")
    return Shop(folder, f"sqlite:///{folder}/mlruns/mlflow.db")


@pytest.fixture(scope="module")
def remote(server: str, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("project"), server)


@pytest.fixture(params=["local", pytest.param("remote", marks=pytest.mark.soak)])
def shop(request: pytest.FixtureRequest) -> Shop:
    """A project with its store in SQLite; in the soak also on a server, over REST."""
    found: Shop = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["local", "remote"])
def any_shop(request: pytest.FixtureRequest) -> Shop:
    """A project with its store in SQLite, and one on a server, over REST."""
    found: Shop = request.getfixturevalue(request.param)
    return found


def offer(
    shop: Shop, name: str, version: int | None = None, alias: str = "champion", **options: Any
) -> Report:
    with contextlib.chdir(shop.folder):  # where dvc.lock lies
        request = PromotionRequest(name, alias, version, **options)
        return promotion.promote(shop.params, shop.prepared, request)


def kinds(shop: Shop, name: str) -> list[str]:
    return [row.decision.kind for row in shop.ledger(name).rows()]


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
    assert start.decision == Decision("first", None, 1, None, "first version, no gate")
    assert first.decision == Decision("promotion", 1, 2, 1, found.summary, tags["gate.report"])
    assert second.decision == Decision("rollback", 2, 1, None, "a bad night")
    assert "@" in first.who
    with pytest.raises(ThawError, match="there is no previous champion"):
        rollback(shop.ledger(name), "")


def test_a_worse_model_is_refused_and_the_refusal_is_recorded(shop: Shop) -> None:
    name = "worse"
    shop.register(name)
    shop.register(name, "bad")
    found = offer(shop, name)
    assert found.verdict == "refused"
    assert {rule.name for rule in found.failed} >= {"accuracy: not worse", "classes"}
    assert shop.aliases(name) == {"champion": 1, "challenger": 2}
    assert shop.tags(name, 2)["gate"] == "refused"
    _, row = shop.ledger(name).rows()
    assert row.decision.kind == "refusal"
    entry = shop.client.get_model_version(name, "2")
    assert str(entry.description).startswith("**Gate: refused**")
    assert "✗ fail" in mlflow.artifacts.load_text(row.decision.report)
    content = json.loads(mlflow.artifacts.load_text(row.decision.report.replace(".html", ".json")))
    assert content["verdict"] == "refused"


@pytest.mark.usefixtures("tuned")
def test_the_exit_code_of_promote_is_one_after_a_refusal(local: Shop) -> None:
    name = "codes"
    for quality in ("good", "bad", "same"):
        local.register(name, quality)
    with contextlib.chdir(local.folder):
        run = CliRunner().invoke
        refused = run(cli.app, ["promote", "2", "--model", name])
        assert refused.exit_code == 1
        assert "FAIL" in refused.output
        assert isinstance(run(cli.app, ["promote", "9", "--model", name]).exception, ThawError)
        assert run(cli.app, ["promote", "--model", name]).exit_code == 0
        assert local.aliases(name) == {"champion": 3, "previous": 1}
        assert run(cli.app, ["rollback", "--model", name]).exit_code == 0
        for verb in ("status", "history"):
            assert run(cli.app, [verb, "--model", name]).exit_code == 0
        assert run(cli.app, ["copy", f"models:/{name}@champion", "codes2"]).exit_code == 0
    assert local.aliases("codes2") == {"challenger": 1}


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
    assert row.decision.why.startswith("the customer insists (")
    assert local.tags(name, 2)["gate.reason"] == "the customer insists"
    (champion, *_) = alias_statuses(local.client, name)
    assert "forced" in champion.gate
    assert not champion.wrong


def test_without_a_champion_floors_and_provenance_alone_decide(local: Shop) -> None:
    name = "first"
    local.register(name)
    local.register(name, "same")
    found = offer(local, name, alias="staging")
    assert found.verdict == "passed"
    assert "there is no champion yet: floors, ceilings and provenance alone decide" in found.notes
    assert local.aliases(name) == {"champion": 1, "challenger": 2, "staging": 2}


@pytest.mark.parametrize(
    ("by", "promoted"),
    [
        ("alias", False),
        ("version", False),
        ("alias and tag", True),
        pytest.param("alias", True, marks=pytest.mark.soak),
        pytest.param("version", True, marks=pytest.mark.soak),
        pytest.param("alias and tag", False, marks=pytest.mark.soak),
        pytest.param("version over REST", False, marks=pytest.mark.soak),
        pytest.param("version over REST", True, marks=pytest.mark.soak),
    ],
)
def test_no_version_is_promoted_without_a_comparison_after_the_champion_was_removed(
    request: pytest.FixtureRequest, by: str, promoted: bool
) -> None:
    shop: Shop = request.getfixturevalue("remote" if "REST" in by else "local")
    name = f"robbed-{by}-{promoted}"
    for quality in ("good", "same", "bad"):
        shop.register(name, quality)
    if promoted:
        offer(shop, name, 2)
    champion = shop.aliases(name)["champion"]
    if "tag" in by:
        shop.client.delete_model_version_tag(name, str(champion), "gate")
    if "alias" in by:
        shop.client.delete_registered_model_alias(name, "champion")
        happened = f"the champion alias was removed from version {champion}"
    else:
        shop.client.delete_model_version(name, str(champion))
        happened = f"version {champion}, the last champion, was deleted"
    left = champion if "alias" in by else champion - 1
    way = f"`thaw rollback --model {name}` makes version {left} the champion again"
    if not left:
        way = "there is no earlier champion to go back to"
    with pytest.raises(ThawError) as refused:
        offer(shop, name, 3)
    assert str(refused.value) == (
        f"{name}: {happened}, so that there is nothing to compare with: {way}; "
        f'`thaw promote 3 --model {name} --force --reason "..."` promotes without a comparison'
    )
    assert "champion" not in shop.aliases(name)
    assert shop.register(name, "bad") == 4
    assert shop.aliases(name)["challenger"] == 4
    assert "champion" not in shop.aliases(name)
    if left:
        rollback(shop.ledger(name), "")
        assert shop.aliases(name)["champion"] == left
    else:
        with pytest.raises(ThawError, match="there is no previous champion to go back to"):
            rollback(shop.ledger(name), "")


def test_a_model_whose_versions_were_all_deleted_had_a_champion(local: Shop) -> None:
    name = "emptied"
    for version in (1, 2):
        assert local.register(name) == version
    for version in (1, 2):
        local.client.delete_model_version(name, str(version))
    assert local.register(name, "bad") == 3
    assert local.aliases(name) == {"challenger": 3}
    with pytest.raises(ThawError, match="version 1, the last champion, was deleted"):
        offer(local, name)
    assert offer(local, name, force=True, reason="a new start").verdict == "forced"
    assert local.aliases(name) == {"champion": 3}


def test_a_champion_put_there_by_hand_is_known_once_it_was_compared_with(local: Shop) -> None:
    name = "copied-by-hand"
    local.register("source-by-hand")
    local.register("source-by-hand", "bad")
    for version in (1, 2):
        copy_version(f"models:/source-by-hand/{version}", name, local.params.tracking)
    local.client.set_registered_model_alias(name, "champion", "1")
    assert offer(local, name, 2).verdict == "refused"
    local.client.delete_registered_model_alias(name, "champion")
    with pytest.raises(ThawError, match="the champion alias was removed from version 1, so that"):
        offer(local, name, 2)


def test_a_copied_model_never_had_a_champion(local: Shop) -> None:
    name = "copied-anew"
    local.register("source-anew")
    local.register("source-anew", "same")
    for version in (1, 2):
        copy_version(f"models:/source-anew/{version}", name, local.params.tracking)
    local.client.delete_model_version(name, "1")
    assert local.register(name) == 3
    assert "champion" not in local.aliases(name)
    found = offer(local, name, 2)
    assert found.verdict == "passed"
    assert found.notes[:1] == [
        "there is no champion yet: floors, ceilings and provenance alone decide"
    ]
    assert local.aliases(name)["champion"] == 2


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
    assert any("deleted and created again: it is a new model" in note for note in found.notes)
    assert [row.decision.kind for row in shop.ledger(name).all_rows()] == [
        "first", "promotion", "first", "promotion",
    ]  # fmt: skip


def test_after_a_removed_champion_only_force_promotes_and_is_recorded(local: Shop) -> None:
    name = "robbed-forced"
    local.register(name)
    local.register(name, "same")
    local.client.delete_registered_model_alias(name, "champion")
    found = offer(local, name, force=True, reason="that was me")
    assert [rule.name for rule in found.failed] == ["comparison"]
    assert found.verdict == "forced"
    assert local.aliases(name) == {"champion": 2, "previous": 1}
    assert rollback(local.ledger(name), "").to == 1


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


@pytest.mark.parametrize(
    ("tags", "rule"),
    [
        ({"thaw.git_dirty": "true"}, "committed"),
        ({"mlflow.source.git.commit": ""}, "committed"),
        ({"thaw.data_digest": "other"}, "data"),
        ({"thaw.dvc_lock": "other"}, "dvc.lock"),
    ],
)
def test_a_run_of_doubtful_provenance_is_refused(
    local: Shop, tags: dict[str, str], rule: str
) -> None:
    name = f"doubtful-{rule}-{len(str(tags))}"
    local.register(name)
    local.register(name, "same", **tags)
    found = offer(local, name)
    assert [failed.name for failed in found.failed] == [rule]


@pytest.mark.parametrize(("place", "rules"), [(0, ["data/prepared", "test split"]), (-1, [])])
def test_damaged_pixels_fail_the_provenance_rules(
    local: Shop, tmp_path: Path, place: int, rules: list[str]
) -> None:
    name = f"rotten{place}"
    local.register(name)
    local.register(name, "same")
    images = local.prepared / "images.raw"
    stamp, content = images.stat(), images.read_bytes()
    try:
        if rules:
            images.write_bytes(bytes([content[0] ^ 1]) + content[1:])
            os.utime(images, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        found = offer(local, name)
    finally:
        images.write_bytes(content)
    assert sorted(failed.name for failed in found.failed) == rules


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
        "params.yaml, dvc.yaml or src differs from commit cccccccccccc: the rules may differ, too"
        in (found.notes)
    )
    assert local.ledger(name).rows()[-1].decision.why.endswith("(the rules were not committed)")


def test_versions_are_scored_in_one_process_in_float32(
    local: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "precise"
    local.register(name)
    local.register(name, "same")
    begun = []

    def start(launch: Launch, resources: Resources) -> Any:
        begun.append(launch)
        raise ThawError("seen")

    monkeypatch.setattr(promotion, "start", start)
    half = local.params.launch.model_copy(update={"mixed_precision": "bf16", "processes": 2})
    params = local.params.model_copy(update={"launch": half})
    with contextlib.chdir(local.folder), pytest.raises(ThawError, match="seen"):
        promotion.promote(params, local.prepared, PromotionRequest(name, "champion"))
    assert [(one.mixed_precision, one.processes) for one in begun] == [("no", 1)]


def test_a_version_that_got_the_alias_by_hand_is_reported_and_no_rollback_returns_to_it(
    local: Shop,
) -> None:
    name = "laundered"
    for quality in ("good", "same", "good", "same"):
        local.register(name, quality)
    offer(local, name, 2)
    local.client.set_registered_model_alias(name, "champion", "3")
    found = offer(local, name, 4)
    assert "version 3 got the alias by hand: no promotion led to it" in found.notes
    assert local.aliases(name) == {"champion": 4, "previous": 2}
    assert not any(one.wrong for one in alias_statuses(local.client, name))
    assert rollback(local.ledger(name), "").to == 2
    assert local.aliases(name) == {"champion": 2, "previous": 1}
    assert rollback(local.ledger(name), "").to == 1


@pytest.mark.parametrize("alias", ["champion", "staging"])
def test_a_refusal_does_not_change_the_tags_of_an_approved_version(
    local: Shop, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"kept-{alias}"
    local.register(name)
    local.register(name, "same")
    offer(local, name, 2)
    before = {version: local.tags(name, version)["gate"] for version in (1, 2)}
    strict = local.rules(floors={"accuracy": 1.0})
    monkeypatch.setattr(local, "params", strict)
    offered = (1,) if alias == "champion" else (1, 2)
    for version in offered:
        assert offer(local, name, version, alias).verdict == "refused"
        assert local.tags(name, version)["gate"] == before[version]
        if alias == "staging":
            assert local.tags(name, version)["gate/staging"] == "refused"
    assert not any(one.wrong for one in alias_statuses(local.client, name))
    assert [row.decision.kind for row in Ledger(local.client, name, alias).rows()][
        -len(offered) :
    ] == ["refusal"] * len(offered)


def test_a_version_with_other_weights_than_registered_cannot_be_forced(local: Shop) -> None:
    name = "swapped"
    local.register(name)
    local.register(name, "same")
    local.client.set_model_version_tag(name, "2", "thaw.model_digest", "f" * 64)
    found = offer(local, name, force=True, reason="never mind")
    assert found.failed[0].name == "artifact"
    assert "is not what was registered" in found.failed[0].sentence
    assert found.verdict == "refused"
    assert local.aliases(name)["champion"] == 1


def test_a_promotion_that_is_not_possible_is_refused_with_one_line(local: Shop) -> None:
    name = "lines"
    local.register(name)
    with pytest.raises(ThawError, match="lines has no @challenger: name a version"):
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
    with pytest.raises(ThawError, match="an alias is of letters"):
        commands.history(local.params.tracking, name, "a/b")
    for alias in ("latest", "Latest", "v2", "V10"):
        with pytest.raises(ThawError, match="is reserved by MLflow"):
            commands.history(local.params.tracking, name, alias)


def examined(shop: Shop, name: str, version: int) -> tuple[Candidate, Report]:
    made = find_candidate(shop.ledger(name), version)
    with contextlib.chdir(shop.folder):
        return made, promotion.run_gate(shop.params, shop.prepared, made, force=False, reason="")


def test_a_change_of_the_champion_while_the_gate_runs_is_a_conflict(any_shop: Shop) -> None:
    shop = any_shop
    name = "changed"
    for quality in ("good", "same", "good"):
        shop.register(name, quality)
    late = examined(shop, name, 3)
    offer(shop, name, 2)
    with pytest.raises(ConflictError, match="the champion changed, look again"):
        promotion.record_result(*late)
    assert shop.aliases(name)["champion"] == 2
    assert shop.tags(name, 3)["gate"] == "conflict"
    description = str(shop.client.get_model_version(name, "3").description)
    assert "the champion changed, look again" in description
    by_hand = examined(shop, name, 3)
    shop.client.set_registered_model_alias(name, "champion", "1")
    with pytest.raises(ConflictError):
        promotion.record_result(*by_hand)
    assert kinds(shop, name) == ["first", "promotion"]


def test_a_refusal_in_between_is_no_conflict(shop: Shop) -> None:
    name = "between"
    for quality in ("good", "same", "bad"):
        shop.register(name, quality)
    slow = examined(shop, name, 2)
    assert offer(shop, name, 3).verdict == "refused"
    promotion.record_result(*slow)
    assert shop.aliases(name)["champion"] == 2
    assert kinds(shop, name) == ["first", "refusal", "promotion"]


class Killed(BaseException):
    pass


def killed_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """Raise Killed instead of write number ``step``, counted from 0."""
    left = [step]

    def dying(write: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return write(*args, **kwargs)

        return call

    for name in WRITES:
        patch.setattr(MlflowClient, name, dying(getattr(MlflowClient, name)))


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
        assert not any(one.wrong for one in found.values())
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


def died_before_the_alias(shop: Shop, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three versions, and a promotion of the second that died when its row was written."""
    for quality in ("good", "same", "good"):
        shop.register(name, quality)
    pair = examined(shop, name, 2)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", killed)
        with pytest.raises(Killed):
            promotion.record_result(*pair)


@pytest.mark.parametrize(
    "command",
    [
        "promote",
        "status",
        *(pytest.param(c, marks=pytest.mark.soak) for c in ("rollback", "history")),
    ],
)
def test_the_next_command_completes_an_interrupted_promotion(
    local: Shop, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"repaired-by-{command}"
    died_before_the_alias(local, name, monkeypatch)
    assert local.aliases(name)["champion"] == 1
    if command == "promote":
        offer(local, name, 3)
        expected = {"champion": 3, "previous": 2}
    elif command == "rollback":
        rollback(local.ledger(name), "")
        expected = {"champion": 1, "challenger": 3}
    else:
        if command == "status":
            commands.status(local.params.tracking, name)
        else:
            commands.history(local.params.tracking, name, "champion")
        expected = {"champion": 2, "previous": 1, "challenger": 3}
    assert local.aliases(name) == expected


def killed(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_a_rollback_killed_between_two_steps_is_completed_or_has_no_effect(
    local: Shop, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"killed-back-{stride}"
    for quality in ("good", "same"):
        local.register(name, quality)
    for step in range(0, 10, stride):
        if local.aliases(name)["champion"] == 1:
            promotion.record_result(*examined(local, name, 2))
        rows = len(local.ledger(name).rows())
        with monkeypatch.context() as patch:
            killed_at(step, patch)
            try:
                rollback(local.ledger(name), "")
            except Killed:
                pass
            else:
                break
        alias_statuses(local.client, name)
        moved = len(local.ledger(name).rows()) > rows
        expected = {"champion": 1} if moved else {"champion": 2, "previous": 1}
        assert local.aliases(name) == expected
    assert 3 <= step < 9
    assert local.aliases(name) == {"champion": 1}


def test_the_champion_stays_if_the_promoted_version_is_deleted_before_the_move(
    local: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "deleted"
    died_before_the_alias(local, name, monkeypatch)
    local.client.delete_model_version(name, "2")
    with pytest.raises(ThawError, match="version 2 was deleted before it became the champion"):
        alias_statuses(local.client, name)
    assert offer(local, name, 3).verdict == "passed"
    assert local.aliases(name) == {"champion": 3, "previous": 1}


def test_a_slow_process_does_not_undo_a_later_promotion(
    local: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "sleeper"
    for quality in ("good", "same", "good"):
        local.register(name, quality)
    pair = examined(local, name, 2)
    move = Ledger._move

    def slow(self: Ledger, intent: Decision) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "_move", move)
            if intent.to == 2:
                offer(local, name, 3)  # finds the open row, ends it, goes on
        move(self, intent)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_move", slow)
        promotion.record_result(*pair)
    assert local.aliases(name) == {"champion": 3, "previous": 2}


def raced(shop: Shop, name: str, start: Any, barrier: Any, results: Any) -> None:
    """Three rivals, three rounds; each round has one winner, who is the champion of the next."""
    rounds = [(2, 3, 4), (5, 6, 7), (8, 9, 10)]
    for _ in range(10):
        shop.client.create_model_version(name, source="s3://nowhere/x")
    workers = [
        start(target=race, args=(shop.params.tracking.uri, name, versions, barrier, results))
        for versions in zip(*rounds, strict=True)
    ]
    for worker in workers:
        worker.start()
    ended = [results.get(timeout=60) for _ in range(9)]
    for worker in workers:
        worker.join(30)
    rows = shop.ledger(name).rows()
    assert [row.state for row in rows] == ["done"] * 3
    for number, row in enumerate(rows):
        said = {version: what for place, version, what in ended if place == number}
        winners = [version for version, what in said.items() if what == "won"]
        assert winners == [row.decision.to]
        assert set(said) == set(rounds[number])
        assert set(said.values()) - {"won"} == {
            f"{name}: the champion changed, look again (`thaw status`)"
        }
    assert [row.decision.origin for row in rows] == [None, *(row.decision.to for row in rows[:-1])]
    assert shop.aliases(name)["champion"] == rows[-1].decision.to


def test_one_of_several_racing_threads_wins_and_the_others_get_a_conflict(any_shop: Shop) -> None:
    shop = any_shop
    shop.client.create_registered_model("threads")
    raced(shop, "threads", threading.Thread, threading.Barrier(3), queue.Queue())


def test_one_of_several_racing_processes_wins_and_the_others_get_a_conflict(local: Shop) -> None:
    local.client.create_registered_model("processes")
    context = multiprocessing.get_context("spawn")
    raced(local, "processes", context.Process, context.Barrier(3), context.Queue())

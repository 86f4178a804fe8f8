from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.promotion.bypass import ATTACKS, LATER, WORSE, Case, add_worse_model
from tests.promotion.moves import moved
from tests.promotion.offering import offer
from thaw.errors import ThawError
from thaw.model import directory
from thaw.promotion.candidate import find_candidate
from thaw.promotion.references import References, find_references
from thaw.promotion.rollback import rollback
from thaw.promotion.scoring import ScoredVersion
from thaw.promotion.status import alias_statuses
from thaw.registry.copying import copy_version
from thaw.registry.names import DIGEST, GATE
from thaw.system import provenance
from thaw.system.dvc_lock import file_md5

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.promotion.offered import Shop

SAMPLE = {"files of the champion replaced", "row names another version, alias by hand"}
SAMPLE_LATER = {"void, alias by hand", "renamed, alias by hand"}


@pytest.fixture(scope="module")
def shop(local: Shop) -> Shop:
    add_worse_model(local)
    return local


def cases(table: Iterable[str], sample: set[str]) -> list[object]:
    return [pytest.param(name, marks=() if name in sample else pytest.mark.soak) for name in table]


def attacked(case: Case, attack: Callable[[Case], object]) -> None:
    """Attack, then let all verbs run; no worse version may become an approved champion.

    A version that the attack put there by hand is shown as that.
    """
    attack(case)
    models = case.shop.models
    digests = {directory.read_spec(models[quality]).digest for quality in ("good", "same")}
    last = case.add()
    for number in range(1, last + 1):
        with contextlib.suppress(ThawError):  # deleted, or the champion already, or refused
            report = offer(case.shop, case.name, number)
            assert report.verdict == "refused" or report.model in digests, report.summary
    wrong = {one.alias for one in alias_statuses(case.client, case.name) if one.moved_by_hand}
    with contextlib.suppress(ThawError):  # there may be nothing to go back to
        rollback(case.ledger, "after the attack")
    for alias in ("champion", "previous"):
        holder = case.shop.aliases(case.name).get(alias, 1)
        if holder != 1 and alias not in wrong:
            assert case.digest_of_files(holder) in digests


@pytest.mark.slow
@pytest.mark.parametrize("attack", cases(ATTACKS, SAMPLE))
def test_no_worse_model_passes_the_gate_after_an_attack(attack: str, shop: Shop) -> None:
    case = Case(shop, f"bypass {list(ATTACKS).index(attack)}")
    case.add("good")
    case.add()
    attacked(case, ATTACKS[attack])


@pytest.mark.slow
@pytest.mark.parametrize("attack", cases(LATER, SAMPLE_LATER))
def test_a_later_champion_counts_after_an_attack(attack: str, shop: Shop) -> None:
    case = Case(shop, f"later {list(LATER).index(attack)}")
    case.add()
    case.add("good")
    moved(case.ledger, 2)
    LATER[attack](case)
    case.add()
    with contextlib.suppress(ThawError):
        assert offer(shop, case.name, 3).verdict == "refused"
    assert shop.aliases(case.name).get("champion") != 3


@pytest.mark.slow
def test_after_a_move_by_hand_the_gate_compares_with_both_versions(shop: Shop) -> None:
    case = Case(shop, "both")
    for quality in ("good", WORSE, WORSE):
        case.add(quality)
    case.point(2)
    references = find_references(find_candidate(case.ledger, 3))
    assert (list(references.versions), references.deleted) == ([2, 1], None)
    found = offer(shop, case.name, 3)
    assert [rule.name for rule in found.failed] == [
        "accuracy: not worse (version 1)", "log_loss: not worse (version 1)",
    ]  # fmt: skip
    case.delete(1)
    (rule,) = offer(shop, case.name, 3).failed
    assert rule.sentence == (
        "version 1, the last one that a decision made the champion, was deleted, and version 2 got "
        "the alias by hand"
    )


@pytest.mark.slow
def test_without_a_trace_of_another_champion_there_is_one_version_to_compare_with(
    shop: Shop,
) -> None:
    case = Case(shop, "in order")
    for quality in ("good", "same", "good"):
        case.add(quality)
    moved(case.ledger, 2)
    digest = shop.tags(case.name, 2)[DIGEST]
    found = find_references(find_candidate(case.ledger, 3))
    assert found.versions == [2]
    assert found.digests[2] == digest
    case.remove()
    assert find_references(find_candidate(case.ledger, 3)) == References()


def test_a_champion_with_other_files_than_those_decided_on_is_not_compared_with() -> None:
    scored = ScoredVersion(4, "a" * 64, metrics={"accuracy": 0.5})
    references = References([4], digests={4: "b" * 64})
    found = references.as_decided(scored)
    assert found.metrics == {}
    assert found.problem == (
        f"its files are not the model that was decided on: that has the digest {'b' * 12}, they "
        f"have {'a' * 12}"
    )
    assert References([4], digests={4: "a" * 64}).as_decided(scored) is scored
    assert References([4]).as_decided(scored) is scored


@pytest.mark.slow
def test_a_rollback_to_replaced_files_is_refused(shop: Shop) -> None:
    case = Case(shop, "replaced before")
    case.add("good")
    case.add("same")
    assert offer(shop, case.name, 2).verdict == "passed"
    case.replace_files(1)
    with pytest.raises(ThawError, match="version 1 is not the model that was decided on"):
        rollback(case.ledger, "")
    assert shop.aliases(case.name)["champion"] == 2


@pytest.mark.slow
def test_a_tag_makes_no_first_champion_where_the_history_says_otherwise(shop: Shop) -> None:
    for quality in (WORSE, "good"):
        shop.register("tag source", quality)
    for version in (1, 2):
        copy_version(f"models:/tag source/{version}", "tag copy", shop.params.tracking)
    assert offer(shop, "tag copy", 2).verdict == "passed"
    shop.client.set_model_version_tag("tag copy", "1", GATE, "first, no gate")
    assert shop.ledger("tag copy").first_by_tag() is None
    with pytest.raises(ThawError, match="no previous champion"):
        rollback(shop.ledger("tag copy"), "")


@contextlib.contextmanager
def locked_model(shop: Shop, quality: str) -> Iterator[str]:
    """Let dvc.lock list the files of a model; yield the digest of dvc.lock."""
    lock = shop.folder / "dvc.lock"
    kept = lock.read_bytes()
    files = {path.name: file_md5(path) for path in sorted(shop.models[quality].iterdir())}
    listed = "".join(
        f"    - {{path: models/fold_bn/merged/{name}, hash: md5, md5: {md5}}}\n"
        for name, md5 in files.items()
    )
    lock.write_bytes(kept + f"  fold_bn:\n    outs:\n{listed}".encode())
    (shop.folder / "models/fold_bn/merged").mkdir(parents=True)
    try:
        yield str(provenance.lock_digest(lock))
    finally:
        lock.write_bytes(kept)
        shutil.rmtree(shop.folder / "models")


@pytest.mark.slow
def test_a_model_that_the_locked_pipeline_did_not_make_is_refused_whatever_its_run_says(
    shop: Shop,
) -> None:
    case = Case(shop, "of another pipeline")
    with locked_model(shop, "good") as digest:
        tags = {"thaw.dvc_lock": digest}
        for quality in ("good", "same", "good"):
            shop.register(case.name, quality, **tags)
        assert [rule.name for rule in offer(shop, case.name, 2).failed] == ["model files"]
        assert offer(shop, case.name, 3).verdict == "passed"


@pytest.mark.slow
def test_the_records_of_a_deleted_run_do_not_count_until_it_is_restored(shop: Shop) -> None:
    case = Case(shop, "deleted run")
    case.add("good")
    case.add("same")
    case.client.delete_run(case.run(2))
    (rule,) = offer(shop, case.name, 2).failed
    restore = f"`mlflow runs restore --run-id {case.run(2)}`"
    assert rule.sentence == f"the run of the version was deleted: {restore} puts it back"
    case.client.restore_run(case.run(2))
    assert offer(shop, case.name, 2).verdict == "passed"

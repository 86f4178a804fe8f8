from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.promotion.offering import offer
from thaw.errors import ThawError
from thaw.promotion.release_pages import (
    CURRENT_PAGE,
    current_release,
    update_run_page,
    update_run_pages,
)
from thaw.promotion.rollback import rollback
from thaw.registry.artifact_files import file_of_run
from thaw.registry.same_model import SAME_AS
from thaw.tracking.result_run import MAIN_ARTIFACT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.promotion.offered import Shop

WRITTEN = '<h1>shop</h1><p class="release"><strong>Not released</strong></p><p>rest</p>'


def registered(shop: Shop, name: str, *qualities: str) -> None:
    """Register versions whose runs have a report page."""
    for quality in qualities:
        number = shop.register(name, quality)
        run_id = str(shop.client.get_model_version(name, str(number)).run_id)
        shop.client.log_text(run_id, WRITTEN, MAIN_ARTIFACT)


def page(shop: Shop, name: str, version: int) -> str:
    run_id = str(shop.client.get_model_version(name, str(version)).run_id)
    return (file_of_run(shop.client, run_id, MAIN_ARTIFACT) or b"").decode()


@pytest.mark.slow
def test_the_pages_of_the_runs_show_promotion_and_rollback(any_shop: Shop) -> None:
    name = "pages"
    registered(any_shop, name, "good", "same", "bad")
    update_run_pages(any_shop.client, name, (1, 2, None))
    assert page(any_shop, name, 2) == WRITTEN  # nothing was decided
    offer(any_shop, name, 2)
    update_run_pages(any_shop.client, name, (2, 1))
    assert "<strong>Released as champion</strong>" in page(any_shop, name, 2)
    assert "rules passed" in page(any_shop, name, 2)
    assert "<strong>Replaced</strong>" in page(any_shop, name, 1)
    offer(any_shop, name, 3)
    update_run_pages(any_shop.client, name, (3, 2))
    assert "<strong>Refused</strong>" in page(any_shop, name, 3)
    assert "<strong>Released as champion</strong>" in page(any_shop, name, 2)
    rollback(any_shop.ledger(name), "")
    update_run_pages(any_shop.client, name, (1, 2))
    assert "<strong>Rolled back</strong>" in page(any_shop, name, 2)
    assert "<strong>Released as champion</strong>" in page(any_shop, name, 1)
    assert page(any_shop, name, 1).endswith("<p>rest</p>")


@pytest.mark.slow
def test_the_page_of_another_run_with_the_same_model_shows_the_decision(local: Shop) -> None:
    name = "same-again"
    registered(local, name, "good", "bad")
    offer(local, name, 2)
    run = local.client.create_run(experiment_id="0")
    local.client.log_text(run.info.run_id, WRITTEN, MAIN_ARTIFACT)
    update_run_page(local.client, name, 2, run.info.run_id)
    shown = (file_of_run(local.client, run.info.run_id, MAIN_ARTIFACT) or b"").decode()
    assert "<strong>Refused</strong>" in shown
    assert page(local, name, 2) == WRITTEN


@pytest.mark.slow
def test_the_pages_of_all_runs_that_made_a_version_show_a_later_decision(local: Shop) -> None:
    name = "made-twice"
    registered(local, name, "good", "bad")
    experiment = local.client.get_run(
        str(local.client.get_model_version(name, "2").run_id)
    ).info.experiment_id
    shown = {}
    for version in (1, 2):
        run_id = local.client.create_run(experiment).info.run_id
        local.client.log_text(run_id, WRITTEN, MAIN_ARTIFACT)
        local.client.set_tag(run_id, SAME_AS, f"models:/{name}/{version}")
        shown[version] = run_id
    offer(local, name, 2)
    update_run_pages(local.client, name, (2,))
    pages = {
        version: (file_of_run(local.client, run_id, MAIN_ARTIFACT) or b"").decode()
        for version, run_id in shown.items()
    }
    assert "<strong>Refused</strong>" in pages[2]
    assert pages[1] == WRITTEN


@pytest.mark.slow
def test_a_page_that_cannot_be_written_is_a_warning(
    local: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "unwritten"
    registered(local, name, "good", "same")
    offer(local, name, 2)

    def fail(*_: object) -> None:
        raise PermissionError("no space for it")

    monkeypatch.setattr(local.client, "log_text", fail)
    update_run_pages(local.client, name, (2,))
    warning = capsys.readouterr().err.replace("\n", " ")
    assert "does not show the last decision on it, which is recorded: no space for it" in warning


@pytest.mark.slow
def test_the_page_of_the_project_stays_and_another_shows_the_current_release(
    local: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = "project-page"
    registered(local, name, "good", "bad")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/index.html").write_text(WRITTEN)
    assert current_release(local.params, name, 2) is None
    offer(local, name, 2)
    found = current_release(local.params, name, 2)
    assert found is not None
    assert found.page == CURRENT_PAGE
    assert found.release["label"] == "Refused"
    assert "<strong>Refused</strong>" in CURRENT_PAGE.read_text()
    assert (tmp_path / "reports/index.html").read_text() == WRITTEN  # its digest is in dvc.lock


@pytest.mark.slow
def test_a_page_of_the_project_that_cannot_be_written_leaves_the_state(
    local: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "project-page-unwritable"
    registered(local, name, "good", "bad")
    offer(local, name, 2)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/index.html").write_text(WRITTEN)
    (tmp_path / ".thaw").write_text("a file where the folder should be")
    found = current_release(local.params, name, 2)
    assert found is not None
    assert (found.release["label"], found.page) == ("Refused", None)
    assert "the page with the current release is not written" in capsys.readouterr().err


@pytest.mark.slow
def test_a_project_whose_page_is_off_gets_the_state_alone(
    local: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = "no-page"
    registered(local, name, "good", "same")
    offer(local, name, 2)
    monkeypatch.chdir(tmp_path)
    found = current_release(local.params, name, 2)
    assert found is not None
    assert found.release["released"]
    assert found.page is None


@pytest.mark.slow
def test_a_version_that_is_not_in_the_registry_is_an_error_of_one_line(local: Shop) -> None:
    local.register("few")
    with pytest.raises(ThawError, match="not found"):
        current_release(local.params, "few", 7)


def test_a_clone_without_a_store_has_the_page_of_the_registration(
    local: Shop, tmp_path: Path
) -> None:
    tracking = local.params.tracking.model_copy(update={"uri": f"sqlite:///{tmp_path}/none.db"})
    params = local.params.model_copy(update={"tracking": tracking})
    assert current_release(params, "few", 1) is None
    assert not (tmp_path / "none.db").exists()

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.services.secret_search import places_of_secrets
from tests.services.workflow import Runner

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.colleague import Colleague
    from tests.services.servers import Servers

pytestmark = pytest.mark.services

_ANY_RESULT = {
    "promote__floors": {},
    "promote__ceilings": {},
    "promote__not_worse": {},
    "promote__class_margin": 1.0,
    "promote__minimum": [],
    "tracking__registered_model": "built",
}


@pytest.fixture
def project(servers: Servers, digits: Colleague, tmp_path: Path) -> Colleague:
    """The digits on the branch `main`, with a DVC remote and the origin `remote.git`."""
    servers.store.create_bucket("team-ci")
    copy = digits.copied_to(tmp_path / "project")
    copy.run("dvc", "remote", "add", "--default", "team", "s3://team-ci/digits")
    copy.set(**_ANY_RESULT)
    copy.commit("remote")
    assert "version 1 as @champion" in copy.run("dvc", "repro")
    copy.commit("first result")
    copy.run("git", "branch", "--move", "main")
    copy.run("git", "clone", "--quiet", "--bare", ".", str(tmp_path / "remote.git"))
    copy.run("git", "remote", "add", "origin", str(tmp_path / "remote.git"))
    copy.run("dvc", "push", "--run-cache")
    return copy


def runner(servers: Servers, project: Colleague, name: str, **event: str) -> Runner:
    """Return a machine of GitHub with the secrets of the repository."""
    secrets = {f"secrets.{name}": value for name, value in servers.variables.items()}
    given = {f"github.{name.replace('__', '.')}": value for name, value in event.items()}
    values = {**secrets, **given, "github.sha": project.run("git", "rev-parse", "HEAD").strip()}
    variables = {
        name: value
        for name, value in project.environment().items()
        if f"secrets.{name}" not in secrets or name == "AWS_DEFAULT_REGION"
    }
    folder = project.folder.parent
    return Runner(folder / name, folder / "remote.git", values, variables)


def test_a_pull_request_is_trained_and_compared_and_its_merge_is_promoted(
    servers: Servers, project: Colleague
) -> None:
    project.run("git", "checkout", "--quiet", "-b", "slower")
    project.set(fold_bn__lr=0.0003)
    project.commit("slower")
    project.run("git", "push", "--quiet", "origin", "slower")
    event = {"head_ref": "slower", "base_ref": "main", "event__pull_request__number": "7"}
    request = runner(servers, project, "request", **event)
    assert request.run("pipeline") == [], request.printed
    assert request.posted.startswith("pr comment 7 ")
    for text in ("## Result", "| reports/evaluate/metrics.json |", "### Gate", "passed all 8"):
        assert text in request.posted

    before = project.run("git", "rev-parse", "main").strip()
    project.run("git", "checkout", "--quiet", "main")
    project.run("git", "pull", "--quiet", "origin", "slower")
    for text in ("one", "two"):
        (project.folder / "README.md").write_text(text)
        project.commit("a commit after that of the result")
    project.run("git", "push", "--quiet", "origin", "main")
    push = runner(servers, project, "push", event__before=before)
    assert push.run("promote") == [], push.printed
    assert "@champion" in push.printed
    nothing = runner(
        servers, project, "nothing", event__before=project.run("git", "rev-parse", "HEAD^").strip()
    )
    assert nothing.run("promote") == [], nothing.printed
    assert "there is no new result" in nothing.printed
    project.output += "".join(each.printed for each in (request, push, nothing))
    assert places_of_secrets(servers, [project]) == []

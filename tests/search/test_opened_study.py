from __future__ import annotations

from typing import TYPE_CHECKING

from tests.search import project
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.search.opened_study import OpenedStudy

if TYPE_CHECKING:
    from tests.search.project import Search


LITE0 = "timm/tf_efficientnet_lite0"


def opened(search: Search) -> OpenedStudy:
    return OpenedStudy(search.study, search.definition, search.storage)


def test_the_content_of_a_study_has_all_trials_and_the_winner(params: Params) -> None:
    search = project.Search(params)
    search.run_all(2)
    content = opened(search).content()
    metric = search.definition.metrics[0]
    scores = [trial["metrics"][metric] for trial in content["trials"]]
    assert sorted(scores) in (scores, scores[::-1])
    assert [trial["number"] for trial in content["trials"]].count(content["winner"]["number"]) == 1
    assert (content["winner"]["is_confirmed"], content["winner"]["mean"]) == (False, None)
    assert content["winner"]["values"].keys() >= content["trials"][0]["values"].keys()


def test_the_values_of_each_trial_have_the_weights_of_its_backbone(params: Params) -> None:
    names = [LITE0, "timm/resnet18"]
    write_values({
        "backbone.name": LITE0,
        "backbone.weights": "packaged",
        "search.space": {"backbone.name": names, "unfreeze.lr": project.SPACE["unfreeze.lr"]},
    })  # fmt: skip
    search = project.Search(load(Params))
    for name in names:
        search.study.enqueue_trial({"backbone.name": name})
    search.run_all(2)
    content = opened(search).content()
    found = {trial["values"]["backbone.name"]: trial["values"] for trial in content["trials"]}
    assert found["timm/resnet18"]["backbone.weights"] == "pretrained"
    assert "backbone.weights" not in found[LITE0]
    winner = content["winner"]
    assert winner["values"] == found[winner["values"]["backbone.name"]]


def test_the_line_about_the_winner_says_that_it_is_not_confirmed(params: Params) -> None:
    search = project.Search(params)
    search.run_all(2)
    study = opened(search)
    line = study.winner_line(study.candidates())
    assert line == "best so far: trial 0 with log_loss 0.5000 on one seed, not confirmed"


def test_a_study_of_two_objectives_has_no_winner(params: Params) -> None:
    write_values({"search.latency": True})
    search = project.Search(load(Params))
    search.run(1, lambda trial: [search.draw(trial)["unfreeze.lr"], 0.1])
    assert opened(search).has_two_objectives
    assert opened(search).candidates() == []

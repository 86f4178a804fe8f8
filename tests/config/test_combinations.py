from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from thaw.config.combinations import impossible_combinations
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.errors import ThawError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"backbone": {"gabor": True}}, "backbone.gabor"),
        ({"backbone": {"layerwise_epochs": 1}}, "backbone.layerwise_epochs"),
        ({"warmup_head": {"fit": "svm"}, "head": {"hidden": [8]}}, "warmup_head.fit"),
        ({"head": {"taps": [3]}, "unfreeze": {"depth": 4}}, "unfreeze.depth"),
        ({"head": {"taps": [3]}, "unfreeze": {"blocks": [1, 4]}}, "unfreeze.blocks"),
        ({"launch": {"processes": 17}}, "unfreeze.batch_size"),
        ({"launch": {"accumulate": 17}}, "launch.accumulate"),
        ({"launch": {"shard": "on"}}, "launch.shard"),
        ({"launch": {"shard": "on", "processes": 2, "compile": "on"}}, "launch.compile"),
        ({"launch": {"shard": "on", "processes": 2, "accumulate": "auto"}}, "launch.accumulate"),
        (
            {"launch": {"shard": "on", "processes": 2}, "unfreeze": {"batch_size": "auto"}},
            "unfreeze.batch_size",
        ),
        (
            {
                "launch": {"shard": "on", "processes": "auto"},
                "backbone": {"layerwise_epochs": 1, "weights": "none"},
            },
            "backbone.layerwise_epochs",
        ),
        ({"launch": {"processes": 4, "accumulate": 5}}, "launch.accumulate"),
        (
            {"evaluate": {"tta_views": 2}, "augment": {"crop": 0.0, "flip": 0.0}},
            "evaluate.tta_views",
        ),
        (
            {"evaluate": {"tta_views": 2}, "augment": {"crop": 0.0, "flip": 0.0, "mixup": 0.2}},
            "evaluate.tta_views",
        ),
        ({"backbone": {"image_size": 4096, "crop_pct": 0.4}}, "backbone.crop_pct"),
        ({"head": {"hidden": [65536, 65536]}}, "head.hidden"),
        (
            {"promote": {"floors": {"accuracy": 0.9}, "ceilings": {"accuracy": 0.8}}},
            "promote.floors.accuracy",
        ),
    ],
)
def test_a_combination_that_cannot_work_is_refused_with_its_key(
    sections: dict[str, Any], key: str
) -> None:
    (line,) = impossible_combinations(Params.model_validate(sections))
    assert line.startswith(f"{key}: ")


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"backbone": {"weights": "none", "gabor": True}},
        {"head": {"taps": [3]}, "unfreeze": {"depth": "auto"}},
        {"head": {"taps": [3]}, "unfreeze": {"depth": 9, "blocks": [1]}},
        {"launch": {"processes": 17}, "unfreeze": {"epochs": 0}},
        {"launch": {"processes": 2, "shard": "on"}},
        {"launch": {"processes": "auto", "shard": "on", "compile": "auto"}},
        {"evaluate": {"tta_views": 2}},
    ],
)
def test_a_combination_that_can_work_is_accepted(sections: dict[str, Any]) -> None:
    assert impossible_combinations(Params.model_validate(sections)) == []


def test_a_file_with_such_a_combination_does_not_load(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("backbone:\n  gabor: true\n")
    with pytest.raises(ThawError, match=r"params\.yaml: backbone\.gabor: it makes new weights"):
        load(Params, path)

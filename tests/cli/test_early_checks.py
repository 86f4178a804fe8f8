from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.verbs import edit, error
from thaw.cli import early_checks
from thaw.cli.early_checks import refuse_unusable_parameters, try_model
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.system.network_sides import recorded

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"data": {"path": "x" * 300}}, r"data\.path: 'x+\.\.\.x+' cannot be read: File name too"),
        ({"backbone": {"weights": "x" * 300}}, r"backbone\.weights: .* cannot be read"),
        ({"data": {"path": "/dev/null"}}, r"data\.path: '/dev/null' is a device, a pipe or a so"),
        ({"data": {"root": "/dev/zero"}}, r"data\.root: '/dev/zero' is a device, a pipe or a so"),
        ({"backbone": {"weights": "/dev/null"}}, r"backbone\.weights: '/dev/null' is a device"),
        ({"tracking": {"uri": "ftp://host"}}, r"tracking\.uri: .* is no address"),
        ({"launch": {"processes": 1000}, "unfreeze": {"batch_size": 1000},
          "warmup_head": {"batch_size": 1000}}, r"launch\.processes: 1000"),
    ],
)  # fmt: skip
def test_parameters_that_this_machine_cannot_use_are_refused(
    project: Path, sections: dict[str, Any], reason: str
) -> None:
    assert project.is_dir()
    with pytest.raises(ThawError, match=reason):
        refuse_unusable_parameters(Params.model_validate(sections))


@pytest.mark.parametrize(
    ("backbone", "reason"),
    [
        ({"weights": "none.safetensors"}, r"weights: there is no file none\.safetensors"),
        ({"weights": "models:/x/0"}, r"^backbone\.weights: models:/x/0: must be models:/NAME@AL"),
        ({"name": "lenet5"}, r"weights: packaged weights are those of timm/tf_efficientnet_lite0"),
    ],
)
def test_weights_that_are_not_there_are_refused(backbone: dict[str, Any], reason: str) -> None:
    with pytest.raises(ThawError, match=reason):
        try_model(Params.model_validate({"backbone": backbone}))


@pytest.mark.parametrize("verb", [("check",), ("stage", "prepare")])
def test_a_depth_beyond_the_backbone_is_refused_before_the_first_stage(
    verb: tuple[str, ...], project: Path
) -> None:
    edit(project / "params.yaml", "  depth: 9 ", "  depth: 90 ")
    if verb == ("stage", "prepare"):
        from thaw.system import tool_lock

        tool_lock.write(tool_lock.installed())
    assert error(*verb) == "params.yaml: unfreeze.depth: 90 is more than the backbone's 9 blocks"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sides"),
    [("timm/tf_efficientnet_lite0", (224, 352)), ("timm/hiera_tiny_224", (224, 224))],
)
def test_the_sizes_that_auto_may_compare_are_kept_for_prepare(
    name: str, sides: tuple[int, int]
) -> None:
    assert early_checks._sides(name) == sides


@pytest.mark.slow
def test_the_check_of_a_model_whose_size_is_auto_keeps_the_sizes(project: Path) -> None:
    name = "timm/test_resnet"
    sections = {"backbone": {"name": name, "weights": "pretrained", "image_size": "auto"}}
    try_model(Params.model_validate(sections))
    kept = recorded(name)
    assert kept is not None
    assert kept.largest > kept.native

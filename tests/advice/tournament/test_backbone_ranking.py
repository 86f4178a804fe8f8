from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.advice.project import NAME, PREPARED, open_model
from thaw.advice.tournament.backbone_ranking import Named, rank, read_backbones
from thaw.advice.tournament.head_tournament import HeadTournament
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.parameter_values import with_values
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.model.frozen_part import FrozenPart

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

LITE0 = "timm/tf_efficientnet_lite0"
SMALL = "timm/test_resnet"


def saved(name: str, path: str, scale: float = 1.0) -> Named:
    """Write random weights of a network, times ``scale``, as a local file."""
    torch.manual_seed(0)
    network = timm.create_model(name.removeprefix("timm/"))
    save_file({key: value * scale for key, value in network.state_dict().items()}, path)
    return Named(name, path)


def test_names_without_weights_get_those_that_fit() -> None:
    params = Params()
    assert read_backbones(f"{LITE0}, {SMALL},timm/resnet18=weights/r.pth", params) == [
        Named(LITE0, "packaged"),
        Named(SMALL, "pretrained"),
        Named("timm/resnet18", "weights/r.pth"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timm/resnet19", "--backbones: timm/resnet19 is unknown; did you mean timm/resnet18"),
        ("resnet18", "'resnet18' must be timm/NAME, torchvision/NAME or lenet5"),
        (f"{SMALL}=none", f"random weights.*Give {SMALL}=pretrained, or {SMALL}=FILE"),
        (f"{SMALL},{SMALL}", "a backbone occurs twice"),
        (" , ", "name at least one backbone"),
    ],
)
def test_backbones_that_cannot_be_compared_are_refused(text: str, expected: str) -> None:
    with pytest.raises(ThawError, match=expected):
        read_backbones(text, Params())


@pytest.mark.slow
def test_the_backbone_with_the_lowest_loss_is_first_and_failures_have_reasons(
    project: Path,
) -> None:
    write_values({"head.taps": "auto", "warmup_head.fit": "auto"})
    useless = saved(SMALL, "zero.safetensors", scale=0.0)
    good, missing = Named(LITE0, "packaged"), Named(SMALL, "missing.safetensors")
    ranked, failed = rank(load(Params), [useless, good, missing], PREPARED)
    assert [each.backbone for each in ranked] == [good, useless]
    assert ranked[1].log_loss > 1.0  # nats; three classes by chance have 1.1
    mean, error = ranked[1].behind(ranked[0])
    assert mean == pytest.approx(ranked[1].log_loss - ranked[0].log_loss)
    assert 0 <= error < mean
    assert all(each.latency > 0 for each in ranked)
    assert list(failed) == [missing]
    assert "missing.safetensors" in failed[missing]


@pytest.mark.slow
def test_validation_images_that_look_different_to_one_backbone_are_predicted_by_all(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_values({"head.taps": "auto", "warmup_head.fit": "lda"})
    other, own = saved(SMALL, "small.safetensors"), Named(NAME, "weights.safetensors")
    together, _ = rank(load(Params), [other, own], PREPARED)

    def differs(tournament: HeadTournament) -> bool:
        return len(tournament.reader.classifier.blocks) == 7  # of the second backbone

    monkeypatch.setattr(HeadTournament, "validation_differs", differs)
    ranked, failed = rank(load(Params), [other, own], PREPARED)
    assert not failed
    val = {len(each.entry.losses) for each in ranked}
    assert val == {len(open_model().context.data.manifest.ids("val"))}
    assert all(len(each.entry.losses) > min(val) for each in together)


@pytest.mark.slow
def test_pinned_blocks_of_one_backbone_are_free_for_the_others(project: Path) -> None:
    # test_resnet has 5 blocks
    write_values({"head.taps": [6], "warmup_head.fit": "lda", "unfreeze.depth": 6})
    params = load(Params)
    other, own = saved(SMALL, "small.safetensors"), Named(NAME, "weights.safetensors")
    ranked, failed = rank(params, [other, own], PREPARED)
    assert not failed
    blocks = {each.backbone: each.entry.candidate.blocks for each in ranked}
    assert blocks[own] == (6,)
    assert max(blocks[other]) <= 5
    write_values(other.values(params))
    assert (load(Params).head.taps, load(Params).unfreeze.depth) == ("auto", "auto")


@pytest.mark.slow
def test_a_backbone_without_the_pinned_blocks_is_left_out_with_the_reason(project: Path) -> None:
    write_values({"warmup_head.fit": "lda", "unfreeze.depth": 0})
    params = with_values(load(Params), {"head.taps": [8]})  # of 7 blocks
    own, other = Named(NAME, "weights.safetensors"), saved(SMALL, "small.safetensors")
    ranked, failed = rank(params, [own, other], PREPARED)
    assert [each.backbone for each in ranked] == [other]
    assert "head.taps: 8 is beyond the backbone's 7 blocks: set head.taps to auto" in failed[own]


@pytest.mark.slow
def test_equal_weights_are_computed_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_values({"head.taps": "auto", "warmup_head.fit": "logistic"})
    params = load(Params)
    computed: list[Any] = []
    original: Callable[..., Any] = FrozenPart.forward

    def forward(self: FrozenPart, inputs: torch.Tensor) -> Any:
        computed.append(len(inputs))
        return original(self, inputs)

    first, _ = rank(params, [saved(SMALL, "one.safetensors")], PREPARED)
    monkeypatch.setattr(FrozenPart, "forward", forward)
    again, _ = rank(params, [saved(SMALL, "copy.safetensors")], PREPARED)
    assert computed == []
    assert np.array_equal(first[0].entry.losses, again[0].entry.losses)


def test_a_download_that_fails_is_a_reason_with_the_way_out(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(model: str, tag: str | None) -> None:
        raise OSError(f"no network for {model}, {tag}")

    monkeypatch.setattr("thaw.model.timm_backbones.create", create)
    expected = f"no backbone could be compared: {SMALL}: .*could not be downloaded .* local file"
    with pytest.raises(ThawError, match=expected):
        rank(load(Params), [Named(SMALL, "pretrained")], PREPARED)

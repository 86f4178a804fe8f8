from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from tests.data.peak import rise
from tests.registry.served import model_directory
from thaw.errors import ThawError
from thaw.model import directory, size_check, zoo
from thaw.model.size_check import check_size

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.model.spec import ModelSpec

GIANT = "timm/vit_giant_patch14_dinov2"  # 1.1 billion weights


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    return model_directory(tmp_path_factory.mktemp("model"))


def test_a_small_file_that_names_a_giant_network_is_refused_before_it_is_built(
    tmp_path: Path,
) -> None:
    plain = model_directory(tmp_path)
    classifier, _ = directory.load(tmp_path)
    giant = plain.model_copy(update={"backbone": GIANT, "blocks": 42})
    directory.save(classifier, giant, tmp_path)

    def load() -> None:
        with pytest.raises(ThawError, match=r"42 blocks of timm/vit_giant.* have 1,\d+,\d+,\d+ w"):
            directory.load(tmp_path)

    assert rise(load) < 300


def test_a_giant_network_with_its_weights_is_accepted_where_the_memory_suffices(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    giant = spec.model_copy(update={"backbone": GIANT, "blocks": 42})
    state = {"x": torch.empty(1_100_000_000, device="meta")}
    monkeypatch.setattr(size_check, "total_memory", lambda: 10e9)
    check_size(giant, state)
    monkeypatch.setattr(size_check, "total_memory", lambda: 1e9)
    with pytest.raises(ValueError, match=r"takes 4\.5 GB to build, .* has 1\.0 GB"):
        check_size(giant, state)


def test_a_giant_network_of_which_a_block_is_left_is_accepted(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size_check, "total_memory", lambda: 10e9)
    giant = spec.model_copy(update={"backbone": GIANT, "blocks": 1})
    check_size(giant, {"x": torch.empty(1_000_000, device="meta")})


def test_a_network_that_cannot_be_built_without_values_is_not_judged(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise NotImplementedError

    monkeypatch.setattr(zoo, "build", fail)
    check_size(spec.model_copy(update={"backbone": "timm/resnet50"}), {})


def test_random_numbers_of_the_program_do_not_change(spec: ModelSpec) -> None:
    size_check._weights_of_blocks.cache_clear()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    check_size(spec, {})
    assert torch.equal(torch.rand(3), expected)

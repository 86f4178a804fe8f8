"""Tests of published weights in the caches of torch and of the Hugging Face Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

import huggingface_hub.constants
import torch

from thaw.model import published_weights

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_file_in_the_cache_of_torch_is_found_by_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/net-12ab.pth").touch()
    assert published_weights.is_in_torch_cache("https://example.org/a/net-12ab.pth")
    assert not published_weights.is_in_torch_cache("https://example.org/a/other.pth")


def test_weights_in_the_cache_of_the_hub_are_found_by_their_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert not published_weights.is_in_hub_cache("someone/network")
    snapshot = tmp_path / "models--someone--network"
    (snapshot / "refs").mkdir(parents=True)
    (snapshot / "refs/main").write_text("c0ffee")
    (snapshot / "snapshots/c0ffee").mkdir(parents=True)
    (snapshot / "snapshots/c0ffee/model.safetensors").touch()
    assert published_weights.is_in_hub_cache("someone/network")

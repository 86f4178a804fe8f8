from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import timm
import torch
from huggingface_hub import ModelCard

from tests.serving.hub_stub import hub
from tests.stages import small
from thaw.errors import ThawError
from thaw.evaluation.page.card import CARD
from thaw.model import directory
from thaw.serving.hub import _short_card, push
from thaw.system.files import write_whole
from thaw.system.project_paths import MODELS, REPORTS

if TYPE_CHECKING:
    from pathlib import Path

MODEL = MODELS / "fold_bn" / "merged"
NOWHERE = "http://127.0.0.1:9"  # nothing listens there
TEXT = "---\nlibrary_name: thaw\nlicense: mit\n---\n\n# The card\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    small.save_model(MODEL, size=32)
    write_whole(REPORTS / CARD, TEXT.encode())
    return tmp_path


@pytest.mark.slow
def test_a_plain_model_is_uploaded_with_its_card_and_is_read_back_by_timm(tmp_path: Path) -> None:
    with hub() as state:
        pushed = push(str(MODEL), "owner/name", private=True, endpoint=state.address)
    assert pushed.has_timm_weights
    assert pushed.address.startswith(state.address)
    assert state.created[0]["name"] == "name"
    assert {"README.md", "config.json", "model.safetensors"} <= state.files.keys()
    assert {"thaw/model.json", "thaw/model.safetensors"} <= state.files.keys()
    readme = state.files["README.md"].decode()
    data: Any = ModelCard(readme).data
    assert (data.library_name, data.license) == ("timm", "mit")
    assert 'timm.create_model("hf-hub:owner/name"' in readme
    for path, content in state.files.items():
        write_whole(tmp_path / "got" / path, content)
    model, spec = directory.load(tmp_path / "got/thaw")
    network = timm.create_model(f"local-dir:{tmp_path}/got", pretrained=True).eval()
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(images), model(images), rtol=1e-4, atol=1e-5)
    config = json.loads(state.files["config.json"])
    assert config["label_names"] == spec.classes


@pytest.mark.slow
def test_a_licence_that_is_given_stands_in_the_header() -> None:
    with hub() as state:
        push(str(MODEL), "o/n", private=False, license_id="apache-2.0", endpoint=state.address)
    data: Any = ModelCard(state.files["README.md"].decode()).data
    assert data.license == "apache-2.0"


@pytest.mark.slow
def test_another_model_than_that_of_the_last_result_gets_a_short_card() -> None:
    small.save_model(MODELS / "other")
    with hub() as state:
        push(str(MODELS / "other"), "owner/name", private=False, endpoint=state.address)
    assert "3 classes: blue, green, red" in state.files["README.md"].decode()
    data: Any = ModelCard(state.files["README.md"].decode()).data
    assert data.library_name == ("timm" if "config.json" in state.files else "thaw")
    assert data.license is None


@pytest.mark.slow
def test_names_in_a_short_card_are_no_markdown_and_classes_left_out_are_counted() -> None:
    small.save_model(MODELS / "other")
    spec = directory.load(MODELS / "other")[1]
    classes = ["<img src=x>", *(f"_{number}_" for number in range(24))]
    card = _short_card("my [model]", spec.model_copy(update={"classes": classes}))
    assert r"# my \[model\]" in card
    assert r"for 25 classes: \<img src=x\>, \_0\_," in card
    assert card.endswith(r"\_18\_ and 5 more." + "\n")


@pytest.mark.slow
def test_a_refusal_of_the_hub_is_one_line_that_says_how_to_get_access() -> None:
    with hub() as state:
        state.refuses = True
        with pytest.raises(ThawError, match="HF_TOKEN") as raised:
            push(str(MODEL), "owner/name", private=False, endpoint=state.address)
    assert "\n" not in str(raised.value)


def test_weights_go_to_the_hub_itself_where_xet_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with hub() as state:
        state.stores = NOWHERE
        push(str(MODEL), "owner/name", private=False, endpoint=state.address)
    assert state.files["thaw/model.safetensors"] == (MODEL / "model.safetensors").read_bytes()


@pytest.mark.slow  # its client waits between two requests
def test_a_store_of_weights_that_does_not_answer_is_named_with_the_variable_that_avoids_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "1")
    with hub() as state:
        state.stores = NOWHERE
        with pytest.raises(ThawError, match="HF_HUB_DISABLE_XET=1 uploads without") as raised:
            push(str(MODEL), "owner/name", private=False, endpoint=state.address)
    assert NOWHERE in str(raised.value)
    assert not state.files


@pytest.mark.parametrize("repo", ["name", "a/b/c", "a b/c", "../x", "/a", "a/", ""])
def test_a_name_that_is_no_repository_is_refused_before_the_network_is_used(repo: str) -> None:
    with hub() as state:
        with pytest.raises(ThawError, match="must be OWNER/NAME"):
            push(str(MODEL), repo, private=False, endpoint=state.address)
        assert not state.created


def test_a_hub_that_does_not_answer_is_no_matter_of_access() -> None:
    with pytest.raises(ThawError, match=r"does not answer .*: check the network") as raised:
        push(str(MODEL), "owner/name", private=False, endpoint="http://127.0.0.1:9")
    assert "HF_TOKEN" not in str(raised.value)

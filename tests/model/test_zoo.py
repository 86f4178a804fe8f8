from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from tests import settings
from thaw.errors import ThawError
from thaw.model import block_chain, initialization, zoo
from thaw.model.classifier import Classifier
from thaw.model.frozen_part import FrozenPart
from thaw.model.weights import PACKAGED

if TYPE_CHECKING:
    from thaw.model.classifier import Layout
    from thaw.model.zoo import Backbone

SMALL = "timm/test_efficientnet"  # of 0.4 million parameters

# The smallest of each family that a user is told of, and the smallest size it takes quickly.
FAMILIES: list[tuple[str, int, int, int, Layout]] = [
    ("lenet5", 32, 4, 84, "NCHW"),
    ("lenet5", 48, 4, 84, "NCHW"),
    ("torchvision/alexnet", 64, 7, 4096, "NCHW"),
    ("torchvision/vgg11", 32, 10, 4096, "NCHW"),
    ("torchvision/googlenet", 64, 12, 1024, "NCHW"),
    ("torchvision/inception_v3", 75, 16, 2048, "NCHW"),
    ("torchvision/resnet18", 64, 5, 512, "NCHW"),
    ("torchvision/mobilenet_v2", 64, 19, 1280, "NCHW"),
    ("torchvision/mobilenet_v3_small", 64, 14, 1024, "NCHW"),
    ("torchvision/efficientnet_b0", 64, 9, 1280, "NCHW"),
    ("torchvision/convnext_tiny", 64, 8, 768, "NCHW"),
    ("torchvision/regnet_y_400mf", 64, 5, 440, "NCHW"),
    ("torchvision/densenet121", 64, 8, 1024, "NCHW"),
    ("torchvision/mnasnet0_5", 64, 10, 1280, "NCHW"),
    ("torchvision/shufflenet_v2_x0_5", 64, 5, 1024, "NCHW"),
    ("torchvision/swin_t", 64, 8, 768, "NHWC"),
    ("timm/tf_efficientnet_lite0", 64, 9, 1280, "NCHW"),
    ("timm/test_efficientnet", 64, 7, 256, "NCHW"),
    ("timm/mobilenetv2_035", 64, 9, 1280, "NCHW"),
    ("timm/mixnet_s", 64, 8, 1536, "NCHW"),
    ("timm/mobilenetv3_small_050", 64, 8, 1024, "NCHW"),
    ("timm/test_resnet", 64, 5, 96, "NCHW"),
    ("timm/seresnet18", 64, 5, 512, "NCHW"),
    ("timm/legacy_seresnet18", 64, 5, 512, "NCHW"),
    ("timm/resnetv2_18", 64, 5, 512, "NCHW"),
    ("timm/regnety_002", 64, 5, 368, "NCHW"),
    ("timm/densenet121", 64, 8, 1024, "NCHW"),
    ("timm/test_convnext", 64, 5, 64, "NCHW"),
    ("timm/test_byobnet", 64, 5, 256, "NCHW"),
    ("timm/test_nfnet", 64, 6, 192, "NCHW"),
    ("timm/test_vit", 64, 7, 64, "NLC"),
    ("timm/test_vit2", 64, 9, 64, "NLC"),
    ("timm/test_vit3", 64, 11, 96, "NLC"),
    ("timm/test_vit4", 64, 10, 96, "NLC"),
    ("timm/vit_tiny_patch16_224", 48, 13, 192, "NLC"),
    ("timm/deit_tiny_patch16_224", 64, 13, 192, "NLC"),
    ("timm/mixer_s32_224", 224, 9, 512, "NLC"),
    ("timm/swin_tiny_patch4_window7_224", 64, 5, 768, "NHWC"),
]

# One or two of each way to cut a network; the others run in `make soak`.
SAMPLE = {
    "lenet5",
    "torchvision/googlenet",
    "torchvision/resnet18",
    "torchvision/mobilenet_v3_small",
    "torchvision/shufflenet_v2_x0_5",
    "torchvision/swin_t",
    "timm/test_efficientnet",
    "timm/tf_efficientnet_lite0",
    "timm/test_resnet",
    "timm/test_convnext",
    "timm/test_byobnet",
    "timm/test_nfnet",
    "timm/test_vit",
    "timm/test_vit3",
    "timm/swin_tiny_patch4_window7_224",
    "torchvision/resnet50",
    "timm/eva02_tiny_patch14_224",
    "timm/vit_tiny_patch16_dinov3_qkvb",
    "timm/vit_pe_core_tiny_patch16_384",
    "timm/test_vit_relpos",
    "timm/convnextv2_atto",
}


def sampled(families: list[Any]) -> list[Any]:
    """Return one parameter set per family; those outside of ``SAMPLE`` are marked ``soak``."""
    return [
        pytest.param(*family, marks=() if family[0] in SAMPLE else pytest.mark.soak)
        for family in families
    ]


# Larger ones, whose gradients would take long: the logits alone.
LARGE: list[tuple[str, int]] = [
    ("torchvision/vgg16", 32),
    ("torchvision/vgg16_bn", 32),
    ("torchvision/resnet50", 64),
    ("torchvision/resnext50_32x4d", 64),
    ("torchvision/wide_resnet50_2", 64),
    ("torchvision/regnet_x_400mf", 64),
    ("torchvision/inception_v3", 299),
]

# At least one of each file of timm that is listed, and the vision transformers with rotary position
# embeddings (EVA-02, DINOv3, PE), attention pooling (SigLIP) and mask units (Hiera).
OF_TIMM: list[tuple[str, int]] = [
    ("timm/beit_base_patch16_224", 224),
    ("timm/halonet_h1", 256),
    ("timm/mobileone_s1", 64),
    ("timm/convmixer_768_32", 64),
    ("timm/csatv2", 64),
    ("timm/cs3darknet_focus_s", 64),
    ("timm/cspnext_tiny", 64),
    ("timm/davit_tiny", 64),
    ("timm/dla46x_c", 64),
    ("timm/dpn48b", 64),
    ("timm/edgenext_xx_small", 64),
    ("timm/efficientnet_lite0", 64),
    ("timm/efficientvit_b0", 64),
    ("timm/efficientvit_m0", 64),
    ("timm/eva02_tiny_patch14_224", 224),
    ("timm/fasternet_t0", 64),
    ("timm/fastvit_t8", 64),
    ("timm/focalnet_tiny_srf", 64),
    ("timm/gcvit_xxtiny", 224),
    ("timm/ghostnet_050", 64),
    ("timm/hardcorenas_b", 64),
    ("timm/hgnetv2_b0", 64),
    ("timm/hiera_tiny_224", 224),
    ("timm/inception_next_atto", 64),
    ("timm/inception_resnet_v2", 96),
    ("timm/inception_v3", 96),
    ("timm/inception_v4", 96),
    ("timm/lcnetv2_small", 64),
    ("timm/test_mambaout", 64),
    ("timm/maxvit_pico_rw_256", 256),
    ("timm/poolformerv2_s12", 64),
    ("timm/gmlp_ti16_224", 224),
    ("timm/mobilevit_xxs", 64),
    ("timm/nextvit_small", 64),
    ("timm/nf_regnet_b0", 64),
    ("timm/pvt_v2_b0", 64),
    ("timm/rdnet_tiny", 64),
    ("timm/regnetx_002", 64),
    ("timm/repghostnet_050", 64),
    ("timm/res2next50", 64),
    ("timm/resnest14d", 64),
    ("timm/resnet10t", 64),
    ("timm/rexnet_100", 64),
    ("timm/shvit_s1", 64),
    ("timm/skresnet18", 64),
    ("timm/starnet_s050", 64),
    ("timm/swinv2_tiny_window16_256", 64),
    ("timm/swinv2_cr_tiny_224", 64),
    ("timm/tiny_vit_5m_224", 64),
    ("timm/tresnet_m", 64),
    ("timm/vit_tiny_r_s16_p8_224", 64),
    ("timm/test_vit_relpos", 160),
    ("timm/vitamin_small_224", 64),
    ("timm/ese_vovnet19b_slim_dw", 64),
    ("timm/legacy_xception", 64),
    ("timm/xception41p", 64),
    ("timm/eva02_base_patch16_clip_224", 64),
    ("timm/vit_small_patch16_dinov3", 64),
    ("timm/vit_tiny_patch16_dinov3_qkvb", 64),
    ("timm/vit_small_patch16_rope_ape_224", 64),
    ("timm/vit_pe_core_tiny_patch16_384", 64),
    ("timm/vit_pe_spatial_tiny_patch16_512", 64),
    ("timm/vit_base_patch16_siglip_224", 64),
    ("timm/vit_base_patch16_siglip_gap_224", 64),
    ("timm/vit_small_patch14_dinov2", 56),
    ("timm/convnextv2_atto", 64),
    ("timm/hiera_small_abswin_256", 256),
    ("timm/vit_relpos_small_patch16_224", 224),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def noisy(network: nn.Module) -> None:
    """Statistics, and scales that a library starts at (nearly) zero, as training leaves them."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn_like(module.bias) * 0.1
            module.running_var = torch.rand_like(module.bias) + 0.5
    for parameter in network.parameters():
        if parameter.ndim == 1 or not parameter.any():
            parameter.data += torch.rand_like(parameter) * 0.1


def features(backbone: Backbone, images: Tensor) -> Tensor:
    for block in backbone.blocks:
        images = block(images)
        assert images.ndim == (3 if backbone.layout == "NLC" else 4)
    pooled: Tensor = backbone.pool(images)
    return pooled


def apply_classifier(chain: block_chain.Chain, rows: Tensor) -> Tensor:
    """Return the logits of pooled features; a few classifiers are 1 x 1 convolutions."""
    is_map = isinstance(chain.last, nn.Conv2d)
    logits: Tensor = chain.last(block_chain.as_layout(rows, "NCHW") if is_map else rows)
    return logits.flatten(1)


# Cutting.


@pytest.mark.parametrize(("name", "size", "blocks", "width", "layout"), sampled(FAMILIES))
def test_cutting_does_not_change_the_logits_and_gradients_reach_every_block(
    name: str, size: int, blocks: int, width: int, layout: Layout
) -> None:
    torch.manual_seed(0)
    made = zoo._create(name, tag=None)
    noisy(made.network)
    backbone = zoo._backbone(name, made)
    for module in (made.network, *backbone.blocks, backbone.pool):
        module.eval()
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected = made.network(images)
    read = features(backbone, images)
    logits = apply_classifier(made.chain, read)
    assert float((logits - expected).detach().abs().max()) < 1e-5 * float(expected.abs().max())
    assert read.shape == (2, width)
    assert (len(backbone.blocks), backbone.features, backbone.layout) == (blocks, width, layout)
    loss: Any = logits.square().sum()
    loss.backward()
    for block in backbone.blocks:
        gradients = [p.grad for p in block.parameters() if p.grad is not None]
        assert any(bool(gradient.any()) for gradient in gradients)
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert not list(backbone.pool.parameters())


def drawn(name: str) -> zoo._Network:
    """Return a network with random weights of a useful scale, without the slow initialization."""
    with initialization.SkipInitialization():
        made = zoo._create(name, tag=None)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in made.network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                bound = (6 / module.weight[0].numel()) ** 0.5  # He et al. 2015
                module.weight.uniform_(-bound, bound, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
    noisy(made.network)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), sampled([family[:2] for family in FAMILIES]))
def test_merging_batch_norms_of_the_frozen_part_does_not_change_the_output(
    name: str, size: int
) -> None:
    torch.manual_seed(0)
    made = zoo._create(name, tag=None)
    noisy(made.network)
    backbone = zoo._backbone(name, made)
    whole = Classifier(backbone.blocks, backbone.pool, nn.Identity(), layout=backbone.layout).eval()
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = whole(images)
        found = FrozenPart(whole.part(0, len(backbone.blocks)))(images)
    scale = float(expected.abs().max())
    assert 0 < scale < float("inf")
    assert float((found - expected).abs().max()) < 1e-5 * scale


@pytest.mark.parametrize(("name", "size"), sampled([*LARGE, *OF_TIMM]))
def test_cutting_does_not_change_the_output_of_a_larger_network(name: str, size: int) -> None:
    made = drawn(name)
    backbone = zoo._backbone(name, made)
    for module in (made.network, *backbone.blocks, backbone.pool):
        module.eval()
    images = torch.randn(1, 3, size, size)
    with torch.no_grad():
        expected = made.network(images)
        logits = apply_classifier(made.chain, features(backbone, images))
    scale = float(expected.abs().max())
    assert 0 < scale < float("inf")
    assert float((logits - expected).abs().max()) < 1e-5 * scale


@pytest.mark.parametrize(
    ("name", "replaced"),
    [
        ("lenet5", {"output"}),
        (SMALL, {"classifier"}),
        ("torchvision/resnet18", {"fc"}),
        ("torchvision/inception_v3", {"fc"}),
        ("torchvision/mobilenet_v3_small", {"classifier"}),
        ("timm/test_vit", {"head"}),
        ("timm/test_convnext", {"head"}),
        ("timm/test_vit3", {"head"}),
        ("timm/eva02_tiny_patch14_224", set()),  # it has no classifier
        ("timm/efficientvit_m0", {"head"}),
    ],
)
def test_every_parameter_below_the_librarys_classifier_is_in_one_block(
    name: str, replaced: set[str]
) -> None:
    with torch.device("meta"):
        made = zoo._create(name, tag=None)
        backbone = zoo._backbone(name, made)
    placed = [id(p) for block in backbone.blocks for p in block.parameters()]
    assert len(placed) == len(set(placed))
    left = [key for key, p in made.network.named_parameters() if id(p) not in placed]
    assert {key.split(".")[0] for key in left} == replaced
    classifier = {id(p) for p in made.chain.last.parameters()}
    assert not classifier & set(placed)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("torchvision/alexnet", 61_100_840),
        ("torchvision/vgg16", 138_357_544),
        ("torchvision/vgg16_bn", 138_365_992),
        ("torchvision/googlenet", 6_624_904),
        ("torchvision/inception_v3", 23_834_568),
        ("torchvision/resnet50", 25_557_032),
    ],
)
def test_the_parameters_are_as_many_as_published(name: str, parameters: int) -> None:
    with torch.device("meta"):
        backbone = zoo.build(name)
    below = sum(p.numel() for block in backbone.blocks for p in block.parameters())
    assert below + 1000 * (backbone.features + 1) == parameters


def test_building_for_weights_that_are_yet_to_be_loaded_draws_none() -> None:
    before = torch.random.get_rng_state()
    zoo.build("torchvision/vgg16")  # 0.003 s; 2.3 s where its weights are drawn
    assert torch.equal(torch.random.get_rng_state(), before)


def test_normalisation_and_interpolation_are_those_of_pretraining() -> None:
    lite, resnet = zoo.build("timm/tf_efficientnet_lite0"), zoo.build("torchvision/resnet18")
    assert (lite.mean, lite.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert lite.interpolation == "bicubic"
    assert (resnet.mean, resnet.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert resnet.interpolation == "bilinear"
    assert zoo.build("torchvision/efficientnet_b0").interpolation == "bicubic"


# Names.


def test_names_are_full_unique_and_listed_without_building_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def built(*_: object, **__: object) -> None:
        raise AssertionError("a network was built")

    monkeypatch.setattr(torch.nn.Module, "__init__", built)
    names = zoo.names()
    assert len(set(names)) == len(names) > 500
    assert {name for name, *_ in FAMILIES} | {PACKAGED} <= set(names)
    assert not {"torchvision/maxvit_t", "timm/hrnet_w18", "timm/cait_s24_224"} & set(names)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("timm/tf_efficientnet_lit0", "timm/tf_efficientnet_lite0"),
        ("timm/eficientnet_b0", "timm/efficientnet_b0"),
        ("torchvision/resnet81", "torchvision/resnet18"),
        ("torchvision/ResNet50", "torchvision/resnet50"),
        ("torchvision/vgg17", "torchvision/vgg19"),
    ],
)
def test_an_unknown_name_is_refused_with_a_near_right_one(name: str, nearest: str) -> None:
    with pytest.raises(ThawError) as error:
        zoo.build(name)
    message = f"params.yaml: backbone.name: {name} is unknown; did you mean {nearest}?"
    assert str(error.value) == message


@pytest.mark.parametrize("name", ["resnet18", "timm", "timm/", "keras/resnet50", "", "lenet"])
def test_a_name_without_a_library_is_refused(name: str) -> None:
    with pytest.raises(ThawError, match=r"must be timm/NAME, torchvision/NAME or lenet5"):
        zoo.build(name)


@pytest.mark.parametrize(
    ("name", "kind", "why"),
    [
        ("torchvision/maxvit_t", "MaxVit", "does not know this family"),
        ("torchvision/squeezenet1_1", "SqueezeNet", "does not know this family"),
        ("timm/deit_tiny_distilled_patch16_224", "VisionTransformerDistilled", "one classifier"),
        ("timm/crossvit_tiny_240", "CrossVit", "not one linear layer"),
        ("timm/hrnet_w18_small", "HighResolutionNet", "do not run one after the other"),
        ("timm/convit_tiny", "ConVit", "other logits than the network"),
    ],
)
def test_a_network_that_cannot_be_cut_is_refused_in_a_line(name: str, kind: str, why: str) -> None:
    with pytest.raises(
        ThawError, match=rf"{name} is a {kind}, which cannot be cut.*{why}"
    ) as error:
        zoo.load(settings.backbone(name, image_size=240 if "240" in name else 224))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "size", "made_for"),
    [("lenet5", 12, 32), ("torchvision/inception_v3", 32, 299), ("timm/test_vit", 60, 160)],
)
def test_a_size_that_the_network_does_not_take_is_refused(
    name: str, size: int, made_for: int
) -> None:
    with pytest.raises(ThawError) as error:
        zoo.load(settings.backbone(name, image_size=size))
    message = str(error.value)
    assert message.startswith(
        f"params.yaml: backbone.image_size: {name} does not accept images of {size} pixels ("
    )
    assert message.endswith(f"it was made for {made_for}; set backbone.image_size to {made_for}")
    assert "\n" not in message


# From scratch.


def test_weights_none_are_a_function_of_the_seed_and_leave_the_callers_generator_alone() -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one, again, other = (
        zoo.load(settings.backbone("timm/test_vit"), seed=seed)[1] for seed in (1, 1, 2)
    )
    assert one == again != other
    assert torch.equal(torch.random.get_rng_state(), before)


def test_init_chooses_the_draw() -> None:
    digests = {zoo.load(settings.backbone(SMALL, init=init))[1] for init in ("he", "glorot")}
    assert len(digests) == 2


def test_gabor_changes_the_first_convolution_alone() -> None:
    plain, gabor = (
        nn.ModuleList(zoo.load(settings.backbone(SMALL, gabor=on))[0].blocks).state_dict()
        for on in (False, True)
    )
    assert [key for key in plain if not torch.equal(plain[key], gabor[key])] == ["0.0.weight"]

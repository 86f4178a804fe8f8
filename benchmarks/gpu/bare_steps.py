"""Images a second of bare training steps and forward passes: the limits of a training loop.

They are measured in torch's default mode, which may take kernels that are not deterministic,
whatever a training has set in the process before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.gpu.measurement import Figure, median_seconds
from thaw.training.determinism import debug_mode
from thaw.training.precision import Precision, use_precision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.gpu.measurement import Setting

_CLASSES, _BATCHES = 16, 4
_NOT_DETERMINISTIC = 0  # torch's debug mode
NETWORKS = {"resnet50": "timm/resnet50", "lite0": "timm/tf_efficientnet_lite0"}
_TINY = {"tiny": "timm/test_efficientnet"}


def networks(setting: Setting) -> dict[str, str]:
    """Return the backbones of a run by their short names."""
    return _TINY if setting.tiny else NETWORKS


def shape(setting: Setting) -> tuple[int, int]:
    """Return the images of a step and the side of an image in pixels."""
    return (8, 32) if setting.tiny else (128, 224)


def rows(setting: Setting) -> Iterator[Figure]:
    """Measure bare steps in each precision, compiled, and forward passes."""
    precisions = ("fp32", "tf32", "bf16", "fp16") if setting.device.type == "cuda" else ("fp32",)
    for name, backbone in networks(setting).items():
        for precision in precisions:
            rate = training_rate(setting, backbone, precision)
            yield Figure(f"bare step, {name}, {precision}", rate, "images/s")
        best = precisions[-2] if len(precisions) > 1 else "fp32"
        if not setting.tiny:
            rate = training_rate(setting, backbone, best, compiled=True)
            yield Figure(f"bare compiled step, {name}, {best}", rate, "images/s")
        rate = inference_rate(setting, backbone, best)
        yield Figure(f"bare forward pass, {name}, {best}", rate, "images/s")


def training_rate(
    setting: Setting, backbone: str, precision: str, *, compiled: bool = False
) -> float:
    """Return the images a second of forward pass, backward pass and fused AdamW."""
    network, inputs, targets = _made(setting, backbone, precision)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
    scaler = Precision(precision).loss_scaler(setting.device)
    computed: Any = torch.compile(network) if compiled else network
    steps = 2 if setting.tiny else 30

    def train() -> None:
        for number in range(steps):
            with Precision(precision).autocast(setting.device):
                outputs = computed(inputs[number % _BATCHES])
            loss = scaler.scale(F.cross_entropy(outputs.float(), targets))
            loss.backward()  # type: ignore[no-untyped-call]
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)

    with debug_mode(_NOT_DETERMINISTIC):
        return steps * len(targets) / median_seconds(train, setting.repeats)


def inference_rate(setting: Setting, backbone: str, precision: str) -> float:
    """Return the images a second of forward passes."""
    network, inputs, targets = _made(setting, backbone, precision)
    network.eval()
    steps = 2 if setting.tiny else 60

    def predict() -> None:
        with torch.inference_mode(), Precision(precision).autocast(setting.device):
            for number in range(steps):
                network(inputs[number % _BATCHES])

    with debug_mode(_NOT_DETERMINISTIC):
        return steps * len(targets) / median_seconds(predict, setting.repeats)


def _made(
    setting: Setting, backbone: str, precision: str
) -> tuple[nn.Module, list[torch.Tensor], torch.Tensor]:
    """Return a network of timm, inputs and targets on the device."""
    import timm

    use_precision(Precision(precision), setting.device)
    batch, size = shape(setting)
    network = timm.create_model(backbone.removeprefix("timm/"), num_classes=_CLASSES)
    network = network.to(setting.device, memory_format=torch.channels_last)
    inputs = [
        torch.randn(batch, 3, size, size, device=setting.device).contiguous(
            memory_format=torch.channels_last
        )
        for _ in range(_BATCHES)
    ]
    return network, inputs, torch.randint(0, _CLASSES, (batch,), device=setting.device)

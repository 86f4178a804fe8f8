"""The short trainings whose losses are golden, as changes of ``tests/golden/params.yaml``."""

from __future__ import annotations

from typing import Any

AUGMENTATION: dict[str, Any] = {
    "augment.crop": 0.3,
    "augment.flip": 0.5,
    "augment.rotate": 10.0,
    "augment.shift": 0.1,
    "augment.zoom": 0.1,
    "augment.brightness": 0.2,
    "augment.contrast": 0.2,
    "augment.saturation": 0.2,
    "augment.hue": 0.1,
    "augment.tint": 0.2,
    "augment.randaugment": 2,
    "augment.noise": 0.05,
}
NO_AUGMENTATION: dict[str, Any] = {
    "augment.rotate": 0.0,
    "augment.shift": 0.0,
    "augment.zoom": 0.0,
}
BASE: dict[str, Any] = {
    "data.source": "folder",
    "data.path": "images",
    "prepare.short_side": 32,
    "backbone.name": "timm/test_efficientnet",
    "backbone.weights": "none",
    "backbone.image_size": 32,
    "launch.threads": 1,
    "warmup_head.epochs": 3,
    "warmup_head.batch_size": 8,
    "unfreeze.epochs": 3,
    "unfreeze.depth": 3,
    "unfreeze.batch_size": 8,
    "unfreeze.lr": 0.01,
    "fold_bn.epochs": 2,
    "fold_bn.batch_size": 8,
    "fold_bn.lr": 0.001,
    **NO_AUGMENTATION,
}
POLICIES = ("train", "frozen", "fixed", "affine", "auto")


def _cases() -> dict[str, dict[str, Any]]:
    cases: dict[str, dict[str, Any]] = {}
    for policy in POLICIES:
        cases[f"{policy}-cached"] = {"unfreeze.batch_norm": policy}
        cases[f"{policy}-augmented"] = {"unfreeze.batch_norm": policy, **AUGMENTATION}
    cases |= {
        "all-blocks-uncached": {"unfreeze.depth": 7},
        "surgical-blocks": {"unfreeze.blocks": [2, 5]},
        "gradual": {"unfreeze.gradual_epochs": 1, "unfreeze.lr_decay": 0.5},
        "sgd-mixed-images": {
            "unfreeze.optimizer": "sgd", "augment.mixup": 0.2, "augment.cutmix": 1.0,
        },
        "lamb-constant": {
            "warmup_head.optimizer": "lamb", "unfreeze.optimizer": "lamb",
            "unfreeze.schedule": "constant",
        },
        "regularized": {
            "regularize.label_smoothing": 0.1, "regularize.l1": 0.0001, "regularize.l2_sp": 0.01,
            "regularize.gradient_noise": 0.01, "regularize.ema": 0.9,
            "regularize.class_weights": "balanced", "head.hidden": [16], "head.norm": "batch",
            "head.dropout": 0.2,
        },
        "logistic-taps": {
            "warmup_head.fit": "logistic", "head.taps": [4, 7], "unfreeze.lr": 0.0001,
        },
        "svm-recalibrated": {
            "warmup_head.fit": "svm", "fold_bn.recalibrate": True, "unfreeze.lr": 0.0001,
        },
        "gabor-layerwise": {"backbone.gabor": True, "backbone.layerwise_epochs": 1},
    }  # fmt: skip
    return cases


CASES = _cases()
# With two processes over gloo: started by the command line, so fewer of them.
TWO_PROCESSES: dict[str, dict[str, Any]] = {
    f"two-processes-{policy}": {"launch.processes": 2, "unfreeze.batch_norm": policy}
    for policy in ("train", "affine")
}

"""Parameter groups: a learning rate a block, and no weight decay where it does harm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import nn

    from thaw.model.blocks import Classifier


def parameter_groups(
    classifier: Classifier, *, lr: float, lr_decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Every trainable parameter in exactly one group, as the optimisers of torch take them.

    The head learns at ``lr``; a block at ``lr * lr_decay ** distance``, where the last block's
    distance to the head is 1 (discriminative learning rates, Howard & Ruder 2018).
    Vectors (biases, norms, affine maps) get no weight decay. ``base_lr`` is what the
    schedule scales; ``names`` are those of the parameters.
    """
    count = len(classifier.blocks)
    parts: list[tuple[str, nn.Module, int]] = [("head", classifier.head, 0)]
    parts += [
        (f"blocks.{index}", classifier.blocks[index], count - index)
        for index in reversed(range(count))
    ]
    groups = []
    for prefix, module, distance in parts:
        rate = lr * lr_decay**distance
        named = [
            (f"{prefix}.{name}", parameter)
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        ]
        for is_matrix in (True, False):
            chosen = [(n, p) for n, p in named if (p.ndim > 1) == is_matrix]
            if chosen:
                groups.append(
                    {
                        "params": [parameter for _, parameter in chosen],
                        "names": [name for name, _ in chosen],
                        "lr": rate,
                        "base_lr": rate,
                        "weight_decay": weight_decay if is_matrix else 0.0,
                    }
                )
    return groups


def build(groups: list[dict[str, Any]]) -> torch.optim.AdamW:
    """AdamW, fused: one pass over the parameters a step (Loshchilov & Hutter 2019)."""
    return torch.optim.AdamW(groups, fused=True)

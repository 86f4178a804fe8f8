"""The parameter groups of an optimiser: a learning rate for each block, and weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from thaw.model.classifier import Classifier


def parameter_groups(
    classifier: Classifier, *, lr: float, lr_decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Return the trainable parameters in groups, as torch's optimisers take them.

    Every trainable parameter is in exactly one group. The head learns at ``lr``, a block at
    ``lr * lr_decay ** distance``; the last block's distance to the head is 1. Vectors (biases,
    norms, affine maps) have no weight decay. The schedule scales ``base_lr``; ``names`` are the
    names of the parameters.

    Source: Howard & Ruder 2018 (discriminative learning rates).
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


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """Return all parameters that ``optimizer`` changes, in order."""
    return [p for group in optimizer.param_groups for p in group["params"]]

"""Try the parameters without data and weights: build the model, cut it, and estimate its memory.

What cannot work is refused here, before the first stage, and not by a stage after hours of
training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from thaw.config.parameter_values import assumed
from thaw.config.section import AUTO
from thaw.errors import ThawError
from thaw.model.freeze_plan import chosen_blocks, last_blocks
from thaw.model.freezing import apply_plan
from thaw.model.head import HeadSpec
from thaw.model.meta_classifier import (
    count_weights,
    meta_backbone,
    meta_classifier,
    output_sizes,
)
from thaw.optimizers.registry import OPTIMIZERS
from thaw.system.devices import gpu_count
from thaw.system.memory import total_memory
from thaw.system.process_group import process_group
from thaw.training.runtime import SCORE_BATCH
from thaw.training.single_image_steps import fewest_images, too_few_images, trained_norms

if TYPE_CHECKING:
    from thaw.config.params import Params
    from thaw.config.process_sections import Launch
    from thaw.config.training_sections import Training
    from thaw.model.classifier import Classifier
    from thaw.model.freeze_plan import Plan

_FLOAT, _HALF = 4, 2  # bytes
_GB = 1e9
_EVERY_GPU = 1.5e9  # bytes
_COPIES = 2  # of each weight that trains, beside the moments of the optimiser: gradient, best epoch
_KEPT_OUTPUTS = 0.5  # share of the outputs of layers that a backward pass keeps, at least


@dataclass(frozen=True)
class DryRun:
    """The model of ``params.yaml``: blocks, weights, and the least memory to train it in bytes."""

    blocks: int
    weights: int
    memory: float


@dataclass(frozen=True)
class _Need:
    """The memory that a stage needs at least, and the parameters that set it."""

    stage: str
    memory: float
    keys: str


def dry_run(params: Params, classes: int = 2) -> DryRun | None:
    """Build the model of ``params`` for ``classes`` classes, without weights.

    None if the network cannot be built without weights.

    Raises:
        ThawError: the backbone is unknown or cannot be cut, it does not accept the image size, a
            block is beyond it, a step would have too few images, or the memory does not suffice.
    """
    params = assumed(params)
    spec = HeadSpec.model_validate(params.head.model_dump())
    size = params.backbone.fixed().image_size
    try:
        backbone = meta_backbone(params.backbone.name)
        classifier = meta_classifier(backbone, spec, classes, size)
    except NotImplementedError:  # an operation that the meta device does not know
        return None
    plan = _plan(params, len(classifier.blocks))
    apply_plan(classifier, plan)
    _refuse_single_images(params, classifier)
    needs = _needs(params, classifier, plan)
    largest = max(need.memory for need in needs)
    memory = _memory_above(largest)
    for need in needs:
        if need.memory > memory:
            where = "GPU" if gpu_count() > 0 else "machine"
            raise ThawError(
                f"params.yaml: {need.stage} needs {need.memory / _GB:,.1f} GB of memory or more, "
                f"and this {where} has {memory / _GB:,.1f} GB: lower {need.keys}"
            )
    return DryRun(len(classifier.blocks), count_weights(classifier), largest)


def _memory_above(needed: float) -> float:
    """Return the memory of a GPU, or of the machine if it has none.

    A GPU is not asked where ``needed`` is so little that every GPU has it: CUDA would start, which
    takes seconds, and memory of the GPU until the command ends.
    """
    if gpu_count() == 0:
        return total_memory()
    if needed <= _EVERY_GPU:
        return _EVERY_GPU
    return float(torch.cuda.get_device_properties(0).total_memory)


def _plan(params: Params, blocks: int) -> Plan:
    """Return the plan of the stage unfreeze; with ``auto``, the least: the head alone trains."""
    settings = params.unfreeze
    policy = "frozen" if settings.batch_norm == "auto" else settings.batch_norm
    if policy == "affine":  # which needs folded blocks, of the same size
        policy = "frozen"
    if settings.blocks:
        return chosen_blocks(settings.blocks, blocks, policy)
    return last_blocks(0 if settings.depth == "auto" else settings.depth, blocks, policy)


def _refuse_single_images(params: Params, classifier: Classifier) -> None:
    settings, processes = params.unfreeze, process_group(params.launch).processes
    norms = trained_norms(classifier)
    if not norms or not settings.epochs or -(-settings.images_per_step // processes) > 1:
        return
    size = params.backbone.fixed().image_size
    if fewest_images(classifier, norms, torch.zeros(1, 3, size, size, device="meta")) > 1:
        raise ThawError(f"params.yaml: unfreeze.batch_size: {too_few_images(processes)}")


def _needs(params: Params, classifier: Classifier, plan: Plan) -> list[_Need]:
    """Return the memory that each stage needs at least.

    The processes of a CPU share its memory, those of GPUs have their own. In sharded training
    each has a part of the weights that train, of their gradients and of the optimiser's state.
    """
    size = params.backbone.fixed().image_size
    image = 3 * size * size
    sizes = output_sizes(classifier, size)
    launch = params.launch
    group, parts = process_group(launch), launch.accumulate
    sharing = 1 if gpu_count() > 0 else group.on_this_machine
    weights = sharing * count_weights(classifier)
    head = sharing * count_weights(classifier.head)
    trained = head + sharing * sum(count_weights(classifier.blocks[at]) for at in plan.trainable)
    kept = _KEPT_OUTPUTS * sum(sizes[at].total for at in range(plan.cut, plan.blocks))
    scored = sharing * -(-SCORE_BATCH // group.processes)
    # On GPUs, a pass over fewer of them is tried where one over all exhausts the memory.
    passed = 1 if gpu_count() > 0 and launch.shard == "off" else scored
    largest = max((block.largest for block in sizes), default=0)
    share = group.machines if sharing > 1 else group.processes
    divided = group.processes if launch.shard == "on" else 1
    per_image = _FLOAT * image + _bytes_of_output(launch) * kept

    def training(settings: Training, values: int, of_image: float) -> float:
        if not settings.epochs:
            return 0.0
        # With auto, a batch is computed in as many parts as the memory needs.
        if AUTO in {settings.batch_size, parts}:
            batch = sharing
        else:
            batch = -(-settings.images_per_step // (share * int(parts)))
        copies = 1 + _COPIES + OPTIMIZERS[settings.optimizer].moments
        return _FLOAT * (weights - values + copies * values / divided) + batch * of_image

    unfreeze, fold_bn = params.unfreeze, params.fold_bn
    keys = "backbone.image_size, or choose a smaller backbone or head"
    return [
        _Need("scoring", _FLOAT * (weights + scored * image + passed * largest), keys),
        _Need(
            "warmup_head",
            training(params.warmup_head, head, 0),
            "head.hidden, or choose a smaller backbone",
        ),
        _Need(
            "unfreeze",
            training(unfreeze, trained, per_image),
            "unfreeze.batch_size, unfreeze.depth, backbone.image_size, or set launch.accumulate",
        ),
        _Need(
            "fold_bn",
            training(fold_bn, trained, per_image),
            "fold_bn.batch_size, unfreeze.depth, backbone.image_size, or set launch.accumulate",
        ),
    ]


def _bytes_of_output(launch: Launch) -> int:
    """Return the bytes of a value that a backward pass keeps: autocast makes outputs of 16 bits."""
    is_gpu = gpu_count() > 0
    in_16_bits = launch.precision in {"bf16", "fp16"} or (launch.precision == "auto" and is_gpu)
    return _HALF if in_16_bits else _FLOAT

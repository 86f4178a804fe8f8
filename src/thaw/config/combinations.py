"""Combinations of parameters that cannot work, found before the first stage starts."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from thaw.config.section import AUTO, LARGEST_RESIZED
from thaw.system.quantities import quantity
from thaw.system.stage_names import TRAINING_STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thaw.config.params import Params
    from thaw.config.training_sections import Training


_MOST_HEAD_WEIGHTS = 500_000_000


def impossible_combinations(params: Params) -> list[str]:
    """Return a line for each combination in ``params`` that cannot work on any data."""
    return [
        *_backbone(params),
        *_input(params),
        *_head(params),
        *_unfreeze(params),
        *_batches(params),
        *_shard(params),
        *_evaluate(params),
        *_promote(params),
    ]


def _backbone(params: Params) -> Iterator[str]:
    backbone = params.backbone
    if backbone.weights == "none":
        return
    for key, is_on in (("gabor", backbone.gabor), ("layerwise_epochs", backbone.layerwise_epochs)):
        if is_on:
            yield (
                f"backbone.{key}: it makes new weights, but backbone.weights is "
                f"{backbone.weights}: set backbone.weights to none, or turn backbone.{key} off"
            )


def _input(params: Params) -> Iterator[str]:
    backbone = params.backbone.assumed()
    resized = backbone.image_size / backbone.crop_pct
    if resized > LARGEST_RESIZED:
        yield (
            f"backbone.crop_pct: images of {backbone.image_size} pixels are resized to "
            f"{resized:,.0f} pixels before the crop, more than {LARGEST_RESIZED:,}: set crop_pct "
            f"to {backbone.image_size / LARGEST_RESIZED:.3g} or more"
        )


def _head(params: Params) -> Iterator[str]:
    widths = params.head.hidden
    weights = sum(first * second for first, second in pairwise(widths))
    if weights > _MOST_HEAD_WEIGHTS:
        yield (
            f"head.hidden: layers of {', '.join(map(str, widths[:5]))} neurons have {weights:,} "
            f"weights between them, more than {_MOST_HEAD_WEIGHTS:,}: make them smaller"
        )
    fit, strength = params.warmup_head.fit, params.warmup_head.strength
    if fit == "lda" and strength != AUTO and strength > 1:
        yield (
            f"warmup_head.strength: with fit: lda it is the shrinkage of the covariance, from 0 to "
            f"1, not {strength:g}: set it to auto, or to 1 or less"
        )
    if fit != "gradient" and params.head.hidden:
        yield (
            f"warmup_head.fit: {fit} fits one linear layer, but head.hidden is "
            f"{params.head.hidden}: set head.hidden to [], or warmup_head.fit to gradient"
        )


def _unfreeze(params: Params) -> Iterator[str]:
    """Blocks above the highest tap are left out of the model, so that they cannot train."""
    if params.head.taps == AUTO:
        return
    highest, settings = max(params.head.fixed_taps, default=0), params.unfreeze
    if not highest:
        return
    if settings.blocks and max(settings.blocks) > highest:
        yield (
            f"unfreeze.blocks: block {max(settings.blocks)} is not in the model, whose highest "
            f"block is the highest of head.taps, {highest}"
        )
    if not settings.blocks and settings.depth != "auto" and settings.depth > highest:
        yield (
            f"unfreeze.depth: {settings.depth} blocks are more than the model has: its highest "
            f"block is the highest of head.taps, {highest}"
        )


def _batches(params: Params) -> Iterator[str]:
    launch = params.launch
    for name in TRAINING_STAGES:
        stage: Training = getattr(params, name)
        if not stage.epochs:
            continue
        images = stage.images_per_step
        # auto depends on the machine, and a file of Accelerate's on others
        processes = 1 if launch.processes == "auto" else launch.processes
        if images < processes:
            yield (
                f"{name}.batch_size: {quantity(images, 'image is', 'images are')} fewer than "
                f"launch.processes, {processes}: each process needs one image per step"
            )
        elif launch.accumulate != "auto" and images < processes * launch.accumulate:
            yield (
                f"launch.accumulate: {launch.accumulate} parts of {images} images "
                f"({name}.batch_size) in {processes} processes: each part needs one image"
            )


def _shard(params: Params) -> Iterator[str]:
    launch = params.launch
    if launch.shard == "off":
        return
    if launch.processes == 1 and not launch.config:
        yield (
            "launch.shard: on divides the weights among several processes, but launch.processes "
            "is 1: set it to 2 or more, or to auto"
        )
    if launch.compile == "on":
        yield "launch.compile: on cannot compile divided blocks: set launch.shard or this to off"
    for key, value in (
        ("launch.accumulate", launch.accumulate),
        ("warmup_head.batch_size", params.warmup_head.batch_size),
        ("unfreeze.batch_size", params.unfreeze.batch_size),
        ("fold_bn.batch_size", params.fold_bn.batch_size),
    ):
        if value == "auto":
            yield (
                f"{key}: auto tries steps in one process alone, which launch.shard on does not "
                "allow: give a number"
            )
    if params.backbone.layerwise_epochs:
        yield (
            "backbone.layerwise_epochs: blocks are pretrained whole: set it to 0, or launch.shard "
            "to off"
        )


def _evaluate(params: Params) -> Iterator[str]:
    unmixed = params.augment.assumed().model_copy(update={"mixup": 0.0, "cutmix": 0.0})
    if params.evaluate.tta_views and not unmixed.active:
        yield (
            "evaluate.tta_views: the section augment changes no image by itself, so that all views "
            "would be equal: turn some of it on, or set evaluate.tta_views to 0"
        )


def _promote(params: Params) -> Iterator[str]:
    floors, ceilings = params.promote.floors, params.promote.ceilings
    for name in floors.keys() & ceilings.keys():
        if floors[name] > ceilings[name]:
            yield (
                f"promote.floors.{name}: {floors[name]:g} is above promote.ceilings.{name}, "
                f"{ceilings[name]:g}: no version can pass"
            )

"""The model that training starts from: a backbone of the zoo or of a registered model."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from thaw.data.preprocessing import Preprocessing
from thaw.errors import ThawError
from thaw.model import directory, zoo
from thaw.model.assembly import assemble, trimmed
from thaw.model.float32 import strict_float32
from thaw.model.head import HeadSpec
from thaw.model.spec import ModelSpec, Parent
from thaw.model.unallocated import build_unallocated
from thaw.registry.names import PREFIX

if TYPE_CHECKING:
    from thaw.config.model_sections import Head
    from thaw.config.params import Params
    from thaw.context import Context
    from thaw.data.prepared import Prepared
    from thaw.model.classifier import Classifier


def parent_of(params: Params) -> str:
    """Return ``models:/NAME/NUMBER`` of the version that training starts from, "" for none.

    Raises:
        ThawError: ``backbone.weights`` names a model, alias or version that does not exist.
    """
    weights = params.backbone.weights
    if not weights.startswith(PREFIX):
        return ""
    from thaw.registry.fetch import resolve  # imports MLflow, in every process

    return resolve(weights, params.tracking).uri


def starting_model(context: Context, *, all_blocks: bool = False) -> tuple[Classifier, ModelSpec]:
    """Return the model that the head warm-up of an opened project starts with, and its spec.

    With ``all_blocks``, its head reads the last block, whatever ``head.taps`` says, so that no
    block is left out.

    Raises:
        ThawError: there is no such backbone or registered model.
    """
    params = context.params
    head = params.head.model_copy(update={"taps": []}) if all_blocks else params.head
    return begin(params, head, context.data, parent_of(params))


def head_spec(head: Head) -> HeadSpec:
    """Return the section ``head`` of ``params.yaml`` as a model stores it.

    Raises:
        ThawError: ``taps`` is auto.
    """
    assert head.fixed_taps is head.taps
    return HeadSpec.model_validate(head.model_dump())


def begin(params: Params, head: Head, data: Prepared, parent: str) -> tuple[Classifier, ModelSpec]:
    """Return the classifier that training starts from, and its spec."""
    if parent:
        backbone, spec = _registered(params, head, data, parent)
    else:
        with strict_float32():  # the zoo proves that cutting changes no output
            backbone, digest = zoo.load(params.backbone.fixed(), seed=params.seed)
        spec = _spec(params, head, data, backbone, [Parent(stage="backbone", digest=digest)])
    classifier = assemble(
        backbone,
        spec.head,
        len(spec.classes),
        image_size=spec.preprocessing.image_size,
        seed=params.seed,
    )
    kept = _names_in(classifier, [*spec.folded, *(name for pair in spec.merged for name in pair)])
    spec = spec.model_copy(
        update={
            "blocks": len(classifier.blocks),
            "folded": [name for name in spec.folded if name in kept],
            "merged": [pair for pair in spec.merged if kept.issuperset(pair)],
        }
    )
    return classifier.to(memory_format=torch.channels_last), spec


def _names_in(classifier: Classifier, names: list[str]) -> set[str]:
    """Return those of ``names`` that are modules of a block of ``classifier``."""
    indices = {f"blocks.{index}." for index in range(len(classifier.blocks))}
    return {name for name in names if any(name.startswith(prefix) for prefix in indices)}


def _registered(
    params: Params, head: Head, data: Prepared, parent: str
) -> tuple[zoo.Backbone, ModelSpec]:
    """Return the backbone of the registered version ``parent`` and the spec of the new model.

    Raises:
        ThawError: ``backbone.name`` differs, or a parameter would overwrite the weights.
    """
    from thaw.registry.fetch import fetch, fetched_into, resolve

    version = resolve(parent, params.tracking)
    with tempfile.TemporaryDirectory() as folder, fetched_into(Path(folder), version):
        classifier, spec = directory.load(fetch(version, Path(folder)))
    if spec.backbone != params.backbone.name:
        raise ThawError(
            f"params.yaml: backbone.name: {parent} is a {spec.backbone}, not "
            f"{params.backbone.name}: set backbone.name to {spec.backbone}"
        )
    given = spec.preprocessing
    # The weights may need another normalisation than the default of the network.
    whole = replace(
        build_unallocated(spec.backbone),
        mean=given.mean,
        std=given.std,
        interpolation=given.interpolation,
    )
    size = params.backbone.fixed().image_size
    backbone = trimmed(whole, list(classifier.blocks), classifier.pool, size)
    parents = [*spec.parents, Parent(stage=parent, digest=spec.digest)]
    inherited = {"folded": spec.folded, "merged": spec.merged}
    return backbone, _spec(params, head, data, backbone, parents).model_copy(update=inherited)


def _spec(
    params: Params, head: Head, data: Prepared, backbone: zoo.Backbone, parents: list[Parent]
) -> ModelSpec:
    settings, chosen = data.store.settings, params.backbone.fixed()
    return ModelSpec(
        backbone=backbone.name,
        head=head_spec(head),
        classes=data.manifest.classes,
        preprocessing=Preprocessing(
            short_side=int(settings["short_side"]),
            max_megapixels=settings["max_megapixels"],
            pixel_range=settings.get("range", "clip"),  # earlier versions have clipped
            jpeg_pixels=settings.get("jpeg_pixels", "reduced"),
            image_size=chosen.image_size,
            crop_pct=chosen.crop_pct,
            framing=chosen.framing,
            interpolation=backbone.interpolation,
            mean=backbone.mean,
            std=backbone.std,
        ),
        blocks=len(backbone.blocks),
        parents=parents,
    )

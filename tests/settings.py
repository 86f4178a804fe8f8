"""Sections of ``params.yaml`` for tests: values of this repository with changes by the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tests.project import ROOT
from thaw.config.data_sections import FixedAugment
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.section import Section
from thaw.config.training_sections import Training
from thaw.model.head import HeadSpec

if TYPE_CHECKING:
    from thaw.config.model_sections import FixedBackbone, Head
    from thaw.config.prepare_section import Prepare
    from thaw.config.regularize_section import Regularize

S = TypeVar("S", bound=Section)

PARAMS = load(Params, ROOT / "params.yaml")


def backbone(name: str, **changes: Any) -> FixedBackbone:
    """Return a backbone without pretrained weights, at 64 pixels."""
    values = {"name": name, "weights": "none", "image_size": 64, **changes}
    return _changed(PARAMS.backbone, values).fixed()


def head(**changes: Any) -> Head:
    """Return a head of one linear layer on the last block."""
    return _changed(PARAMS.head, changes)


def head_spec(**changes: Any) -> HeadSpec:
    """Return the spec of :func:`head`."""
    return HeadSpec.model_validate(head(**changes).model_dump())


def augment(**changes: Any) -> FixedAugment:
    """Return an augmentation that changes nothing."""
    off = dict.fromkeys(FixedAugment.model_fields, 0)
    return _changed(PARAMS.augment.fixed(), {**off, **changes})


def prepare(**changes: Any) -> Prepare:
    """Return the values of this repository."""
    return _changed(PARAMS.prepare, changes)


def training(**changes: Any) -> Training:
    """Return a training of three epochs without early stopping."""
    values = {name: getattr(PARAMS.warmup_head, name) for name in Training.model_fields}
    small = {"epochs": 3, "lr": 0.01, "warmup_fraction": 0.1, "patience": 10}
    return Training(**{**values, **small, **changes})


def regularize(**changes: Any) -> Regularize:
    """Return a regularisation with gradient clipping only."""
    return _changed(PARAMS.regularize, changes)


def _changed(section: S, changes: dict[str, Any]) -> S:
    return section.model_validate({**section.model_dump(), **changes})

"""Sections of ``params.yaml`` for tests: the project's own values, with what a test changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tests.project import ROOT
from thaw.config.data_sections import Augment, Prepare
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.section import Section
from thaw.config.training_sections import Regularize, Training
from thaw.model.head import HeadSpec

if TYPE_CHECKING:
    from thaw.config.model_sections import Backbone, Head

S = TypeVar("S", bound=Section)

PARAMS = load(Params, ROOT / "params.yaml")


def backbone(name: str, **changes: Any) -> Backbone:
    """From scratch, at 64 pixels, unless changed."""
    return _changed(PARAMS.backbone, {"name": name, "weights": "none", "image_size": 64, **changes})


def head(**changes: Any) -> Head:
    """One linear layer on the last block, unless changed."""
    return _changed(PARAMS.head, changes)


def head_spec(**changes: Any) -> HeadSpec:
    """Return the spec of :func:`head`."""
    return HeadSpec.model_validate(head(**changes).model_dump())


def augment(**changes: Any) -> Augment:
    """Nothing random, unless changed."""
    off = dict.fromkeys(Augment.model_fields, 0)
    return _changed(PARAMS.augment, {**off, **changes})


def prepare(**changes: Any) -> Prepare:
    """The project's own, unless changed."""
    return _changed(PARAMS.prepare, changes)


def training(**changes: Any) -> Training:
    """A phase of three epochs that is never stopped early, unless changed."""
    values = {name: getattr(PARAMS.warmup_head, name) for name in Training.model_fields}
    small = {"epochs": 3, "lr": 0.01, "warmup_fraction": 0.1, "patience": 10}
    return Training(**{**values, **small, **changes})


def regularize(**changes: Any) -> Regularize:
    """Nothing but clipping, unless changed."""
    return _changed(PARAMS.regularize, changes)


def _changed(section: S, changes: dict[str, Any]) -> S:
    return section.model_validate({**section.model_dump(), **changes})

"""Rank backbones: each by the best head that the tournament finds on its frozen features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from thaw.advice.tournament.comparison import paired_difference
from thaw.advice.tournament.development import development
from thaw.advice.tournament.features import FeatureReader
from thaw.advice.tournament.head_choice import space_of
from thaw.advice.tournament.head_tournament import HeadTournament
from thaw.config import other_backbones
from thaw.config.parameter_values import assumed, with_values
from thaw.context import open_context
from thaw.errors import ThawError
from thaw.evaluation.latency import latency_ms
from thaw.model.meta_classifier import meta_backbone
from thaw.registry.starting_model import begin, parent_of
from thaw.system.console import say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from thaw.advice.tournament.comparison import Estimate
    from thaw.advice.tournament.leaderboard import Entry
    from thaw.config.params import Params
    from thaw.context import Context
    from thaw.model.spec import ModelSpec


class Named(NamedTuple):
    """A backbone by name, and its weights as ``backbone.weights`` takes them."""

    name: str
    weights: str

    def values(self, params: Params) -> dict[str, Any]:
        """Return the values that ``params`` need for this backbone, by dotted key."""
        named = {other_backbones.NAME_KEY: self.name, other_backbones.WEIGHTS_KEY: self.weights}
        return named | other_backbones.freed_values(params, self.name)


@dataclass(frozen=True)
class Ranked:
    """A backbone with the chosen entry of its tournament.

    ``latency`` is in milliseconds for one image, with all blocks. ``seconds`` is the time of the
    comparison, less for features that were cached.
    """

    backbone: Named
    entry: Entry
    latency: float
    seconds: float

    @property
    def log_loss(self) -> float:
        """Return the mean out-of-fold log-loss in nats."""
        return float(self.entry.losses.mean())

    def behind(self, best: Ranked) -> Estimate:
        """Return the paired difference of the log-loss to that of ``best``, over the images."""
        return paired_difference(self.entry.losses, best.entry.losses)


def read_backbones(text: str, params: Params) -> list[Named]:
    """Return the backbones of ``NAME,NAME=WEIGHTS,...``.

    Without weights, a backbone has those that a search over backbones gives it: of ``params``, or
    pretrained ones of its library where the packaged weights of ``params`` do not fit.

    Raises:
        ThawError: a name is unknown or cannot be cut, occurs twice, or there are no pretrained
            features to compare.
    """
    found: list[Named] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, weights = part.partition("=")
        if not weights:
            values = other_backbones.with_weights(params, {other_backbones.NAME_KEY: name})
            weights = values.get(other_backbones.WEIGHTS_KEY, params.backbone.weights)
        _check_name(name)
        if weights == "none":
            raise ThawError(
                f"--backbones: {name} has random weights: there are no pretrained features to "
                f"compare. Give {name}=pretrained, or {name}=FILE"
            )
        found.append(Named(name, weights))
    if not found:
        raise ThawError("--backbones: name at least one backbone; `thaw backbones` lists them")
    if len(set(found)) < len(found):
        raise ThawError("--backbones: a backbone occurs twice")
    return found


def _check_name(name: str) -> None:
    try:
        meta_backbone(name)
    except ThawError as error:
        problem = str(error).removeprefix("params.yaml: backbone.name: ")
        raise ThawError(f"--backbones: {problem}") from error


def rank(
    params: Params, backbones: Sequence[Named], prepared: Path, device: torch.device | None = None
) -> tuple[list[Ranked], dict[Named, str]]:
    """Return the ranked backbones, the lowest log-loss first, and those that failed with reasons.

    All are compared on the same training and validation images in the same folds; the test split
    is not read. Where validation images look different by the features of one of them, all predict
    these images from the training images. Values of ``params`` that are not ``auto`` hold for every
    backbone, but numbers of blocks only for that of ``params``.

    Raises:
        ThawError: there are too few images, or no backbone can be compared.
    """
    opened: dict[Named, tuple[HeadTournament, ModelSpec]] = {}
    ranked: list[Ranked] = []
    failed: dict[Named, str] = {}
    differs = False
    for backbone in backbones:
        chosen = with_values(params, backbone.values(params))
        context = open_context(chosen, prepared, single_process=True, device=device)
        try:
            opened[backbone] = tournament, _ = _open(context, backbone)
            differs = differs or tournament.validation_differs()
        except ThawError as error:
            _add_failure(failed, backbone, error)
    for backbone, (tournament, spec) in opened.items():
        say(f"comparing heads on {backbone.name} ({backbone.weights})")
        try:
            ranked.append(_ranked(tournament, backbone, spec, by_split=differs))
        except ThawError as error:
            _add_failure(failed, backbone, error)
    if not ranked:
        reasons = "; ".join(f"{each.name}: {reason}" for each, reason in failed.items())
        raise ThawError(f"no backbone could be compared: {reasons}")
    return sorted(ranked, key=lambda each: each.log_loss), failed


def _add_failure(failed: dict[Named, str], backbone: Named, error: ThawError) -> None:
    failed[backbone] = str(error).removeprefix("params.yaml: ")


def _open(context: Context, backbone: Named) -> tuple[HeadTournament, ModelSpec]:
    """Return the tournament of heads on ``backbone``, and the spec of its model."""
    params = context.params
    images = development(context.data, params.warmup_head.compared_images, params.seed)
    if not images.folds:
        raise ThawError("there are too few images for a cross-validation")
    start = with_values(assumed(params), {"head.taps": [], "head.hidden": []})
    classifier, spec = begin(start, start.head, context.data, parent_of(params))
    reader = FeatureReader(context, classifier, spec.preprocessing, images)
    native = meta_backbone(backbone.name).image_size
    return HeadTournament(reader, space_of(params, images, native)), spec


def _ranked(
    tournament: HeadTournament, backbone: Named, spec: ModelSpec, *, by_split: bool
) -> Ranked:
    reader = tournament.reader
    images = reader.development
    if by_split:
        images = images.by_split()
        tournament = replace(tournament, reader=replace(reader, development=images))
    entry = tournament.run()
    source = images.source(entry.candidate.input.of(spec.preprocessing))
    latency = latency_ms(reader.context.runtime, reader.classifier, source)
    seconds = float(np.sum([each.seconds for each in tournament.entries]))
    return Ranked(backbone, entry, latency, seconds)

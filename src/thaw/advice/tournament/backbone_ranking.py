"""Rank backbones: each by the best head that the tournament finds on its frozen features."""

from __future__ import annotations

from dataclasses import dataclass
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

    from thaw.advice.tournament.comparison import Difference
    from thaw.advice.tournament.leaderboard import Entry
    from thaw.config.params import Params
    from thaw.context import Context


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

    def behind(self, best: Ranked) -> Difference:
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
    is not read. Values of ``params`` that are not ``auto`` hold for every backbone, but numbers of
    blocks only for that of ``params``.

    Raises:
        ThawError: there are too few images, or no backbone can be compared.
    """
    ranked: list[Ranked] = []
    failed: dict[Named, str] = {}
    for backbone in backbones:
        say(f"comparing heads on {backbone.name} ({backbone.weights})")
        chosen = with_values(params, backbone.values(params))
        context = open_context(chosen, prepared, single_process=True, device=device)
        try:
            ranked.append(_ranked(context, backbone))
        except ThawError as error:
            failed[backbone] = str(error).removeprefix("params.yaml: ")
    if not ranked:
        reasons = "; ".join(f"{each.name}: {reason}" for each, reason in failed.items())
        raise ThawError(f"no backbone could be compared: {reasons}")
    return sorted(ranked, key=lambda each: each.log_loss), failed


def _ranked(context: Context, backbone: Named) -> Ranked:
    params = context.params
    images = development(context.data, params.warmup_head.compared_images, params.seed)
    if not images.folds:
        raise ThawError("there are too few images for a cross-validation")
    start = with_values(assumed(params), {"head.taps": [], "head.hidden": []})
    classifier, spec = begin(start, start.head, context.data, parent_of(params))
    reader = FeatureReader(context, classifier, spec.preprocessing, images)
    native = meta_backbone(backbone.name).image_size
    tournament = HeadTournament(reader, space_of(params, images, native))
    entry = tournament.run()
    source = images.source(entry.candidate.input.of(spec.preprocessing))
    latency = latency_ms(context.runtime, classifier, source)
    seconds = float(np.sum([each.seconds for each in tournament.entries]))
    return Ranked(backbone, entry, latency, seconds)

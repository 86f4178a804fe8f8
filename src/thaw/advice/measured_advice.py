"""The advice of `thaw advise`: what the stages choose where ``params.yaml`` says ``auto``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from thaw.advice.recommendation import ROBUST_AUGMENTATION
from thaw.advice.tournament.choice_files import FittedHead
from thaw.advice.tournament.head_choice import KEYS, choose_head
from thaw.advice.tournament.start_head import SMALL_STRENGTH, starts_small
from thaw.advice.tournament.training_choice import choose_training
from thaw.config.loading import load
from thaw.config.parameter_values import with_values
from thaw.config.params import Params
from thaw.config.section import AUTO
from thaw.context import open_context
from thaw.registry.starting_model import begin, parent_of

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from thaw.advice.tournament.head_choice import HeadChoice
    from thaw.advice.tournament.training_choice import TrainingChoice

_FREE = ("depth", "blocks", "lr", "batch_norm", "epochs", "gradual_epochs")


@dataclass(frozen=True)
class MeasuredAdvice:
    """The chosen head and training, each with its leaderboard."""

    head: HeadChoice
    training: TrainingChoice

    @property
    def values(self) -> dict[str, Any]:
        """Return the values for ``params.yaml`` by dotted key, section by section."""
        training = self.training.values
        robust = dict.fromkeys(ROBUST_AUGMENTATION, 0.0)
        if training["depth"] and self.head.validation_differs:
            robust = dict(ROBUST_AUGMENTATION)
        found = {
            **self.head.values,
            "head.hidden": [],
            **self._start,
            **robust,
            "unfreeze.depth": training["depth"],
            "unfreeze.blocks": [],
            "unfreeze.gradual_epochs": 0,
            "unfreeze.lr": training["lr"],
            "unfreeze.batch_norm": training["batch_norm"],
            "unfreeze.epochs": training["epochs"],
            "unfreeze.refit": "off" if training["depth"] else "on",
            "fold_bn.epochs": 2 if training["batch_norm"] == "train" else 0,
        }
        sections = list(Params.model_fields)
        ordered = sorted(found, key=lambda key: sections.index(key.partition(".")[0]))
        return {key: found[key] for key in ordered}

    @property
    def _start(self) -> dict[str, Any]:
        """Return the values of the small head, where the chosen training starts from it."""
        if self.training.values["depth"] and starts_small(self.training.values["batch_norm"]):
            return {"warmup_head.fit": "logistic", "warmup_head.strength": SMALL_STRENGTH}
        return {}

    def as_json(self) -> dict[str, Any]:
        """Return values and leaderboards as the content of a JSON file."""
        return {
            "values": self.values,
            "heads": [asdict(row) for row in self.head.rows],
            "trainings": [asdict(row) for row in self.training.rows],
        }


def measured_advice(prepared: Path, device: torch.device | None = None) -> MeasuredAdvice | None:
    """Compare heads and trainings for the prepared data; values of ``params.yaml`` do not bind.

    What the stages have compared is not compared again. None if there is nothing to compare:
    new weights, or too few images.
    """
    params = load(Params)
    free = {**dict.fromkeys(KEYS, AUTO), "head.hidden": [], "warmup_head.strength": AUTO}
    free |= {f"unfreeze.{key}": getattr(Params().unfreeze, key) for key in _FREE}
    context = open_context(with_values(params, free), prepared, single_process=True, device=device)
    parent = parent_of(params)
    choice = choose_head(context, parent)
    if not choice.rows:
        return None
    chosen = with_values(context.params, choice.values)
    head = FittedHead.of(choice, chosen)
    classifier, spec = begin(chosen, chosen.head, context.data, parent)
    training = choose_training(replace(context, params=chosen), classifier, spec, head)
    return MeasuredAdvice(choice, training)

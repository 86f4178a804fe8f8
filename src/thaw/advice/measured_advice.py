"""The advice of `thaw advise`: what the stages choose where ``params.yaml`` says ``auto``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from thaw.advice.recommendation import ROBUST_AUGMENTATION
from thaw.advice.stored_advice import store_advice
from thaw.advice.tournament.augmentation_choice import choose_augmentation
from thaw.advice.tournament.deadline import Deadline
from thaw.advice.tournament.head_choice import KEYS, choose_head
from thaw.advice.tournament.stage_choices import HeadMethod
from thaw.advice.tournament.training_choice import choose_training
from thaw.config.loading import load
from thaw.config.parameter_values import value_of, with_values
from thaw.config.params import Params
from thaw.config.section import AUTO
from thaw.context import Phase, compute_inputs, open_context
from thaw.model.freeze_plan import last_blocks
from thaw.registry.starting_model import begin, parent_of
from thaw.training import linear_heads

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from thaw.advice.tournament.head_choice import HeadChoice
    from thaw.advice.tournament.training_choice import TrainingChoice
    from thaw.context import Context
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec

_RULES = ("unfreeze.refit", "unfreeze.keep")  # how the chosen training ends, not which it is
_FREE = ("depth", "blocks", "lr", "batch_norm", "epochs", "gradual_epochs", "refit", "keep")


@dataclass(frozen=True)
class MeasuredAdvice:
    """The chosen head and training, each with its leaderboard, and the values of ``augment``.

    If it ``is_shortened``, a deadline left candidates out. ``given`` are the values by dotted key
    of ``params.yaml`` that hold whatever is chosen.
    """

    head: HeadChoice
    training: TrainingChoice
    augmentation: dict[str, float]
    is_shortened: bool = False
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """Return the values for ``params.yaml`` by dotted key, section by section."""
        training = self.training.values
        found = {
            **self.head.values,
            "head.hidden": [],
            **dict.fromkeys(ROBUST_AUGMENTATION, 0.0),
            **self._augmentation,
            "unfreeze.depth": training["depth"],
            "unfreeze.blocks": [],
            "unfreeze.gradual_epochs": 0,
            "unfreeze.lr": training["lr"],
            "unfreeze.batch_norm": training["batch_norm"],
            "unfreeze.epochs": training["epochs"],
            # As the stages do after a comparison.
            "unfreeze.refit": "on",
            "unfreeze.keep": "if_better",
            "fold_bn.epochs": 0,
            **self.given,
        }
        return by_section(found)

    @property
    def _augmentation(self) -> dict[str, float]:
        """Return the values of ``augment``; those of light, colour and noise if a block trains."""
        return {
            key: value
            for key, value in self.augmentation.items()
            if self.training.values["depth"] or key not in ROBUST_AUGMENTATION
        }

    def as_json(self) -> dict[str, Any]:
        """Return values and leaderboards as the content of a JSON file."""
        return {
            "values": self.values,
            "heads": [asdict(row) for row in self.head.rows],
            "trainings": [asdict(row) for row in self.training.rows],
        }


def by_section(values: dict[str, Any]) -> dict[str, Any]:
    """Return ``values`` by dotted key in the order of the sections."""
    sections = list(Params.model_fields)
    ordered = sorted(values, key=lambda key: sections.index(key.partition(".")[0]))
    return {key: values[key] for key in ordered}


def measured_advice(
    prepared: Path, device: torch.device | None = None, deadline: Deadline | None = None
) -> MeasuredAdvice | None:
    """Compare heads and trainings for the prepared data; values of ``params.yaml`` do not bind.

    What the stages have compared is not compared again, and after the ``deadline`` nothing is. None
    if there is nothing to compare: new weights, or too few images. The values are stored for
    `thaw search`, unless the deadline left something out.
    """
    deadline = deadline or Deadline()
    params = load(Params)
    free: dict[str, Any] = dict.fromkeys(KEYS, AUTO)
    free |= {"head.hidden": [], "warmup_head.strength": AUTO}
    free |= dict.fromkeys(("augment.crop", "augment.flip"), AUTO)
    free |= dict.fromkeys(ROBUST_AUGMENTATION, 0.0)  # chosen only if validation images differ
    free |= {f"unfreeze.{key}": getattr(Params().unfreeze, key) for key in _FREE}
    context = open_context(with_values(params, free), prepared, single_process=True, device=device)
    parent = parent_of(params)
    choice = choose_head(context, parent, deadline)
    if not choice.rows:
        return None
    chosen = with_values(context.params, choice.values)
    head = HeadMethod.of(choice, chosen)
    classifier, spec = begin(chosen, chosen.head, context.data, parent)
    start = classifier, spec
    found = _of_model(replace(context, params=chosen), start, choice, head, deadline)
    given = {key: value_of(params, key) for key in _RULES}
    found = replace(found, given={key: each for key, each in given.items() if each != AUTO})
    if not found.is_shortened:
        store_advice(found.values, context, spec)
    return found


def uncompared_values(prepared: Path, device: torch.device | None = None) -> dict[str, Any]:
    """Return what the stage warmup_head takes for each ``auto`` where there is nothing to compare.

    It is {} where ``params.yaml`` has no ``auto`` of these.
    """
    params = load(Params)
    context = open_context(params, prepared, single_process=True, device=device)
    return choose_head(context, parent_of(params)).values


def _of_model(
    context: Context,
    start: tuple[Classifier, ModelSpec],
    choice: HeadChoice,
    head: HeadMethod,
    deadline: Deadline,
) -> MeasuredAdvice:
    """Fit the chosen head to the training images of ``start``; choose augmentation and training."""
    classifier, spec = start
    _fit_head(context, classifier, spec.preprocessing, head)
    augmentation = choose_augmentation(
        context, classifier, spec.preprocessing, validation_differs=head.validation_differs
    )
    context = replace(context, params=with_values(context.params, augmentation))
    training = choose_training(context, classifier, spec, head, deadline)
    return MeasuredAdvice(choice, training, augmentation, deadline.has_shortened)


def _fit_head(
    context: Context, classifier: Classifier, preprocessing: Preprocessing, head: HeadMethod
) -> None:
    """Give ``classifier`` the head of the stage warmup_head, in place."""
    assert head.fit != "gradient"
    plan = last_blocks(0, len(classifier.blocks), "frozen")
    phase = Phase(plan, context.params.warmup_head, preprocessing)
    linear_heads.fit_head(
        classifier.head,
        head.fit,
        compute_inputs(context, classifier, phase).pair,
        strengths=linear_heads.strengths(head.fit, head.strength),
        balanced=context.params.regularize.class_weights == "balanced",
        show=False,
    )

"""One trial: what the stages warmup_head and unfreeze do, on activations that are kept."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from thaw.evaluation.latency import latency
from thaw.evaluation.metrics import score
from thaw.model.classifier import Upper
from thaw.model.freeze_plan import apply
from thaw.search.trial_context import load_head, save_head
from thaw.stages import unfreeze, warmup_head
from thaw.stages.training_stage import I, Work
from thaw.training.checkpoints import Checkpoints
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from thaw.config.data_sections import Augment
    from thaw.config.params import Params
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier
    from thaw.model.freeze_plan import Plan
    from thaw.search.trial_context import Ground
    from thaw.training.activation_cache import AtCut
    from thaw.training.history import Row


@dataclass(frozen=True)
class Result:
    """What a trial came to at its best epoch.

    ``curve`` are the rows of unfreeze, ``latency_ms`` (one image) is None unless asked for.
    """

    log_loss: float
    accuracy: float
    macro_f1: float
    latency_ms: float | None
    best_epoch: int
    curve: list[dict[str, Any]]
    seconds: float

    def objective(self, name: str) -> float:
        """The number of this name."""
        return float(getattr(self, name))


class NoCheckpoints(Checkpoints):
    """A trial that was killed begins anew: it is short, and others wait for its disk."""

    def __init__(self) -> None:
        pass

    def save(
        self, place: tuple[int, int], tensors: Mapping[str, Tensor], state: Mapping[str, Any]
    ) -> None:
        """Nothing is kept."""

    def latest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """There is none."""
        return None

    def clear(self) -> None:
        """There is nothing to clear."""


@dataclass(frozen=True)
class TrialWork(Work[I]):
    """A training stage within a trial: its inputs are shared, its epochs are reported."""

    ground: Ground
    report: Callable[[Row], None]

    def inputs(
        self,
        classifier: Classifier,
        preprocessing: Preprocessing,  # noqa: ARG002  (one for all trials)
        plan: Plan,
        augmentation: Augment | None = None,
    ) -> AtCut:
        """What ``plan`` trains on, as opened for an earlier trial where there was one."""
        apply(classifier, plan)
        return self.ground.inputs(classifier, plan.cut, self.params, augmentation)

    def log(self, row: Row) -> None:
        """Report an epoch."""
        self.report(row)


def run(ground: Ground, params: Params, report: Callable[[Row], None]) -> tuple[Result, Classifier]:
    """Train as ``params`` say; ``report`` gets every epoch of unfreeze in every process.

    What ``report`` raises ends the trial. The classifier is that of the best epoch.
    """
    begun = time.perf_counter()
    classifier = ground.classifier(params)
    _, spec = ground.begun(params.head)
    warm_up(ground, params, classifier)
    inputs = unfreeze.Inputs(
        seed=params.seed,
        launch=params.launch,
        regularize=params.regularize,
        augment=params.augment,
        unfreeze=params.unfreeze,
    )
    work = TrialWork(
        "unfreeze", inputs, params, ground.data, ground.runtime, NoCheckpoints(), None,
        ground, report,
    )  # fmt: skip
    resolved = unfreeze.resolved_for(work, classifier, spec)
    progress = unfreeze.run(work, classifier, spec, resolved)
    best = progress.history[progress.best_epoch]
    at_cut = work.inputs(classifier, spec.preprocessing, resolved.plan, params.augment)
    result = Result(
        log_loss=best.val_loss,
        accuracy=best.val_accuracy,
        macro_f1=_macro_f1(ground, params, classifier, at_cut),
        latency_ms=_latency(ground, classifier) if params.search.latency else None,
        best_epoch=progress.best_epoch,
        curve=[asdict(row) for row in progress.history],
        seconds=time.perf_counter() - begun,
    )
    return result, classifier


def warm_up(ground: Ground, params: Params, classifier: Classifier) -> None:
    """Give ``classifier`` the head that the warm-up ends with; trained once for equal settings."""
    path = ground.head_path(params)
    found = load_head(path)
    if _all_have(ground, found is not None):
        assert found is not None
        classifier.head.load_state_dict(found)
        return
    inputs = warmup_head.Inputs(
        seed=params.seed,
        launch=params.launch,
        regularize=params.regularize,
        backbone=params.backbone,
        head=params.head,
        warmup_head=params.warmup_head,
    )
    work = TrialWork(
        "warmup_head", inputs, params, ground.data, ground.runtime, NoCheckpoints(), None,
        ground, lambda _: None,
    )  # fmt: skip
    warmup_head.run(work, classifier, ground.begun(params.head)[1])
    if ground.runtime.is_main:
        save_head(path, classifier.head)


def _all_have(ground: Ground, found: bool) -> bool:  # noqa: FBT001
    return float(ground.runtime.sum(torch.tensor(float(found)))) == ground.runtime.world


def _macro_f1(ground: Ground, params: Params, classifier: Classifier, at_cut: AtCut) -> float:
    val, classes = at_cut.pair[1], ground.data.manifest.classes
    outputs = logits(ground.runtime, Upper(classifier, at_cut.cut), val, "macro F1")
    probabilities = outputs.double().softmax(dim=1).numpy()
    scores = score(probabilities, val.targets, classes, params.evaluate.calibration_bins)
    return scores.summary["macro_f1"]


def _latency(ground: Ground, classifier: Classifier) -> float:
    source = ground.data.images("val", ground.spec.preprocessing)
    return latency(ground.runtime, classifier, source)

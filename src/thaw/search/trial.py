"""One trial: what the stages warmup_head and unfreeze do, on activations that are kept."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from thaw.advice.auto_values import resolve
from thaw.context import Context
from thaw.evaluation.latency import latency
from thaw.evaluation.scores import score
from thaw.metrics.predictions import Predictions
from thaw.metrics.registry import METRICS
from thaw.search.trial_context import load_head, save_head
from thaw.stages import unfreeze, warmup_head
from thaw.training.observer import Observer
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw.config.params import Params
    from thaw.context import Phase
    from thaw.model.classifier import Classifier
    from thaw.search.trial_context import Ground
    from thaw.training.history import Row
    from thaw.training.phase_inputs import PhaseInputs


@dataclass(frozen=True)
class Result:
    """The result of a trial at its best epoch.

    ``metrics``: every metric of the registry by name, on the validation split. ``curve``: the rows
    of unfreeze. ``latency_ms``: for one image, None unless ``search.latency`` is set.
    """

    metrics: dict[str, float]
    latency_ms: float | None
    best_epoch: int
    curve: list[dict[str, Any]]
    seconds: float

    def objective(self, name: str) -> float:
        """Return the value of the objective ``name``."""
        return float(self.metrics[name] if name in self.metrics else getattr(self, name))


def run(ground: Ground, params: Params, report: Callable[[Row], None]) -> tuple[Result, Classifier]:
    """Train as ``params`` say; ``report`` gets every epoch of unfreeze in every process.

    What ``report`` raises ends the trial. The classifier is that of the best epoch.
    """
    begun = time.perf_counter()
    classifier = ground.classifier(params)
    _, spec = ground.begun(params.head)
    warm_up(ground, params, classifier)
    context = _context(ground, params)
    resolved = resolve(context, classifier, spec.preprocessing)
    progress = unfreeze.run(
        context, classifier, spec.preprocessing, resolved, Observer(on_epoch=report)
    )
    best = progress.history[progress.best_epoch]
    inputs = ground.inputs(classifier, resolved.plan.cut, params, params.augment)
    result = Result(
        metrics={
            **_metrics(ground, params, classifier, inputs),
            "log_loss": best.val_loss,
            "accuracy": best.val_accuracy,
        },
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
    preprocessing = ground.begun(params.head)[1].preprocessing
    warmup_head.run(_context(ground, params), classifier, preprocessing, Observer())
    if ground.runtime.is_main:
        save_head(path, classifier.head)


def _context(ground: Ground, params: Params) -> Context:
    """Return the context of a trial with ``params``: its inputs are shared with other trials."""

    def open_inputs(context: Context, classifier: Classifier, phase: Phase) -> PhaseInputs:
        return ground.inputs(classifier, phase.plan.cut, context.params, phase.augmentation)

    return Context(params, ground.data, ground.runtime, open_inputs)


def _all_have(ground: Ground, found: bool) -> bool:  # noqa: FBT001
    return float(ground.runtime.sum(torch.tensor(float(found)))) == ground.runtime.world


def _metrics(
    ground: Ground, params: Params, classifier: Classifier, inputs: PhaseInputs
) -> dict[str, float]:
    """Return every metric of the registry on the validation split."""
    outputs = logits(ground.runtime, classifier.part(inputs.cut), inputs.val, "validation")
    probabilities = outputs.double().softmax(dim=1).numpy()
    bins = params.evaluate.calibration_bins
    predictions = Predictions(probabilities, inputs.val.targets, bins)
    summary = score(predictions, ground.data.manifest.classes).summary
    return {name: summary[name] for name in METRICS}


def _latency(ground: Ground, classifier: Classifier) -> float:
    source = ground.data.images("val", ground.spec.preprocessing)
    return latency(ground.runtime, classifier, source)

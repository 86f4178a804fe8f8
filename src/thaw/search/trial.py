"""One trial: the stages warmup_head and unfreeze, with inputs that all trials share."""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from thaw.advice.auto_values import resolve
from thaw.config.result_values import result_values
from thaw.context import Phase
from thaw.evaluation.latency import latency_ms
from thaw.evaluation.scores import score
from thaw.metrics.predictions import Predictions
from thaw.metrics.registry import METRICS
from thaw.model.freeze_plan import last_blocks
from thaw.search.trained_heads import load_head, save_head
from thaw.stages import unfreeze, warmup_head
from thaw.stages.fine_tuning_check import compare_with_head
from thaw.system import provenance
from thaw.system.code_digests import code_digests
from thaw.system.project_paths import SCRATCH
from thaw.system.tool_lock import library_versions
from thaw.training.calibration import cross_fitted
from thaw.training.history import EpochRow
from thaw.training.observer import Observer
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thaw.advice.auto_values import Resolved
    from thaw.config.params import Params
    from thaw.context import Context
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier
    from thaw.search.trial_context import TrialContext
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


def run(
    shared: TrialContext, params: Params, on_epoch: Callable[[EpochRow], None]
) -> tuple[Result, Classifier]:
    """Train with ``params``; return the result and the classifier of the best epoch.

    ``on_epoch`` gets every epoch of unfreeze in every process. An exception that it raises ends
    the trial.
    """
    started = time.perf_counter()
    context = shared.context_of(params)
    classifier = shared.backbones.new_classifier(params)
    warm_up(shared, context, classifier)
    preprocessing = shared.preprocessing(params)
    resolved = resolve(context, classifier, preprocessing)
    warm = copy.deepcopy(classifier) if resolved.keep_rule else None
    observer = Observer(on_epoch=on_epoch, choices=_choices(shared, params, "unfreeze"))
    progress = unfreeze.run(context, classifier, preprocessing, resolved, observer)
    best = progress.history[progress.best_epoch]
    phase = Phase(resolved.plan, resolved.settings, preprocessing, params.augment.fixed())
    if warm and (row := _row_of_head(context, warm, classifier, phase, resolved)):
        classifier, best = warm, row
        phase = replace(phase, plan=last_blocks(0, len(warm.blocks)))
    inputs = shared.open_inputs(context, classifier, phase)
    result = Result(
        metrics=_metrics(context, classifier, inputs, best),
        latency_ms=_latency(context, classifier, preprocessing) if params.search.latency else None,
        best_epoch=best.epoch,
        curve=[asdict(row) for row in progress.history],
        seconds=time.perf_counter() - started,
    )
    return result, classifier


def _row_of_head(
    context: Context,
    warm: Classifier,
    classifier: Classifier,
    phase: Phase,
    resolved: Resolved,
) -> EpochRow | None:
    """Return the scores of ``warm`` where the stage unfreeze would drop the trained ``classifier``.

    It may be dropped if ``unfreeze.keep`` asks for a comparison.
    """
    assert resolved.keep_rule is not None
    kept, found = compare_with_head(
        context, warm, classifier, phase, needs_one_error=resolved.keep_rule.needs_one_error
    )
    if kept:
        return None
    return EpochRow(0, None, found["head_log_loss"], found["head_accuracy"], 0.0)


def warm_up(shared: TrialContext, context: Context, classifier: Classifier) -> None:
    """Give ``classifier`` the head that the head warm-up trains.

    An earlier trial with the same settings may have trained and saved it, here or on a machine that
    shares its heads.
    """
    path = shared.head_path(context.params)
    was_here = path.exists()
    if shared.shared_heads:
        shared.shared_heads.fetch(path)
    context.runtime.wait()
    state = load_head(path)
    if context.runtime.all_agree(state is not None):
        assert state is not None
        classifier.head.load_state_dict(state)
        if was_here and shared.shared_heads:
            shared.shared_heads.publish(path)
        return
    observer = Observer(choices=_choices(shared, context.params, "warmup_head"))
    warmup_head.run(context, classifier, shared.preprocessing(context.params), observer)
    if context.runtime.is_main:
        save_head(path, classifier.head)
        if shared.shared_heads:
            shared.shared_heads.publish(path)


def _choices(shared: TrialContext, params: Params, stage: str) -> Path:
    """Return the file of measured choices, by which a trial with the same values is repeated."""
    _, spec = shared.backbones.original(params)
    data = shared.project.cache(spec.preprocessing).data
    key = provenance.key(
        result_values(params), data, spec.parents[-1].digest, code_digests()[stage],
        library_versions(),
    )  # fmt: skip
    return SCRATCH / "choices" / f"search-{stage}-{key[:16]}.json"


def _metrics(
    context: Context, classifier: Classifier, inputs: PhaseInputs, best: EpochRow
) -> dict[str, float]:
    """Return every metric of the registry on the validation split, at the epoch ``best``.

    With calibration, that of cross-fitted temperatures: the stages calibrate the model, too.
    """
    params, targets = context.params, inputs.val.targets
    outputs = logits(context.runtime, classifier.part(inputs.cut), inputs.val, "validation")
    is_calibrated = params.regularize.calibration != "off"
    mapped = cross_fitted(outputs.double().numpy(), targets) if is_calibrated else outputs.double()
    probabilities = torch.as_tensor(mapped).softmax(dim=1).numpy()
    predictions = Predictions(probabilities, targets, params.evaluate.calibration_bins)
    summary = score(predictions, context.data.manifest.classes).summary
    found = {name: summary[name] for name in METRICS}
    exact = {} if is_calibrated else {"log_loss": best.val_loss}
    return {**found, **exact, "accuracy": best.val_accuracy}


def _latency(context: Context, classifier: Classifier, preprocessing: Preprocessing) -> float:
    source = context.data.images("val", preprocessing)
    return latency_ms(context.runtime, classifier, source)

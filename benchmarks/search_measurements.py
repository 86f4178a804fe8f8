"""Measure one part of ``search_against_naive.py`` in a folder with prepared data; print JSON.

Usage: ``search_measurements.py speed NAME TRIALS NAIVE DEPTH``, ``quality TRIALS SEED DEPTH``,
``equal`` or ``overhead TRIALS``. It runs in its own process, because malloc reads its settings at
the start. A naive trial uses thaw's training loop on image files: every epoch decodes them, nothing
is cached, and each trial trains its own head (except for ``quality``, which measures no time).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmarks.command_line import parser
from thaw.config.loading import load
from thaw.config.parameter_values import with_values
from thaw.config.params import Params
from thaw.config.search_sections import Range
from thaw.data.packed_store import PackedStore
from thaw.model import frozen_part
from thaw.search import attempt, storage, study, study_log, trial
from thaw.search.study_definition import StudyDefinition
from thaw.search.trial_context import TrialContext, open_trial_context
from thaw.search.worker import Worker
from thaw.system.project_paths import ACTIVATIONS
from thaw.training.history import EpochRow
from thaw.training.phase_inputs import PhaseInputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from thaw.context import Context, Phase
    from thaw.model.classifier import Classifier

PREPARED = Path("data/prepared")
FILES = Path(".thaw/naive/images")
PRUNERS = ("none", "hyperband")


class FileStore(PackedStore):
    """The packed images as PNG files with the same pixels."""

    def read(self, image_id: int) -> NDArray[np.uint8]:
        """Return the image as (H, W, 3)."""
        return np.asarray(Image.open(FILES / f"{image_id}.png"))


def write_files() -> None:
    """Write the missing PNG files."""
    FILES.mkdir(parents=True, exist_ok=True)
    packed = PackedStore(PREPARED)
    for image_id in range(len(packed)):
        path = FILES / f"{image_id}.png"
        if not path.exists():
            Image.fromarray(packed.read(image_id)).save(path)


@dataclass
class SharesHeads(TrialContext):
    """A trial context without activation cache: each epoch decodes the image files."""

    def __post_init__(self) -> None:
        write_files()
        self.project.data.store = FileStore(PREPARED)

    def open_inputs(self, context: Context, classifier: Classifier, phase: Phase) -> PhaseInputs:  # noqa: ARG002
        """Return the images themselves."""
        images, seed = context.data.images, context.params.seed
        train = images("train", phase.preprocessing, seed, phase.augmentation)
        return PhaseInputs(train, images("val", phase.preprocessing), 0)


@dataclass
class Naive(SharesHeads):
    """A trial context in which each trial also trains its own head."""

    trials: int = 0

    def head_path(self, params: Params) -> Path:  # noqa: ARG002
        """Return a file that does not exist yet."""
        self.trials += 1
        return Path(f".thaw/naive/{time.time_ns()}-{self.trials}.safetensors")


@dataclass
class Timed(TrialContext):
    """A trial context that measures the seconds of shared work: activations and heads."""

    cold: float = 0.0

    def open_inputs(self, context: Context, classifier: Classifier, phase: Phase) -> PhaseInputs:
        """Measure, if files are written."""
        before, started = _files(), time.perf_counter()
        inputs = super().open_inputs(context, classifier, phase)
        if _files() != before:
            self.cold += time.perf_counter() - started
        return inputs

    def warm_up(self, shared: TrialContext, context: Context, classifier: Classifier) -> None:
        """Do what ``trial.warm_up`` does, and measure it if the head is new."""
        is_new = not self.head_path(context.params).exists()
        started, before = time.perf_counter(), self.cold
        WARM_UP(shared, context, classifier)
        if is_new:
            activations = self.cold - before
            self.cold += time.perf_counter() - started - activations


WARM_UP = trial.warm_up


def _files() -> set[Path]:
    return set(ACTIVATIONS.glob("*.npy"))


def parameters(depth: int, **changes: Any) -> Params:
    """Return the folder's parameters with a search over depths up to ``depth``.

    ``changes`` are values of the section ``search``.
    """
    params = load(Params)
    wanted = Range(low=0, high=depth, log=False) if depth else [0]
    whole = {**params.search.space, "unfreeze.depth": wanted}
    search = params.search.model_copy(update={"space": whole, "confirm_seeds": 0, **changes})
    params = params.model_copy(update={"search": search})
    unfreeze = params.unfreeze.model_copy(update={"depth": depth})
    return params.model_copy(update={"unfreeze": unfreeze})


def opened(kind: type[TrialContext], params: Params) -> TrialContext:
    """Open the same data and backbone as another kind of context."""
    made = open_trial_context(params, PREPARED)
    return kind(made.project, made.backbones)


def definition_of(made: TrialContext) -> StudyDefinition:
    """Return the definition of the study of its parameters and data."""
    digest = made.project.data.manifest.digest
    return StudyDefinition.from_params(made.project.params, digest, made.backbones.parent)


def speed(name: str, trials: int, naive: int, depth: int) -> dict[str, dict[str, float]]:
    """Work on two studies, one without pruner and one with thaw's pruner, and return times of both.

    ``seconds`` is the time of all trials. ``cold`` is the part of it for shared work, including the
    wait for another worker that does it. ``naive`` is the mean time of a naive trial of the same
    depths; the first ``naive`` trials of each depth are repeated naively.
    """
    found: dict[str, dict[str, float]] = {}
    values: dict[str, list[dict[str, Any]]] = {}
    for pruner in PRUNERS:
        made = opened(Timed, parameters(depth, pruner=pruner))
        assert isinstance(made, Timed)
        definition, connected = definition_of(made), storage.connect("")
        trial.warm_up = made.warm_up
        begun = time.perf_counter()
        Worker(made, definition, connected).work(f"{name}-{pruner}", trials)
        found[pruner] = {"seconds": time.perf_counter() - begun, "cold": made.cold}
        trial.warm_up = WARM_UP
        done = study.open_study(definition, connected, f"{name}-{pruner}").get_trials(
            deepcopy=False
        )
        values[pruner] = [attempt.values_of(each, definition.dimensions) for each in done]
    seconds = _naive_seconds(parameters(depth), [*chain(*values.values())], naive)
    for pruner, rows in values.items():
        found[pruner]["naive"] = fmean(seconds[row["unfreeze.depth"]] for row in rows)
    return found


def _naive_seconds(params: Params, values: list[dict[str, Any]], each: int) -> dict[int, float]:
    """Return the mean seconds of a naive trial by depth, from the first ``each`` of ``values``.

    Frozen blocks run as the library builds them, without merged BatchNorms.
    """
    slow = opened(Naive, params)
    seconds = {}
    merged, frozen_part.merged_part = frozen_part.merged_part, lambda part, example: part  # noqa: ARG005
    for depth in sorted({row["unfreeze.depth"] for row in values}):
        chosen = [row for row in values if row["unfreeze.depth"] == depth][:each]
        begun = time.perf_counter()
        for row in chosen:
            trial.run(slow, with_values(params, row), lambda _: None)
        seconds[depth] = (time.perf_counter() - begun) / len(chosen)
    frozen_part.merged_part = merged
    return seconds


def quality(trials: int, seed: int, depth: int) -> dict[str, float]:
    """Return the best validation loss of ``trials`` cached and pruned, and of as many naive trials.

    Naive trials reuse the heads of cached ones, which have the same bits as their own would have.
    No time is measured here.
    """
    found = {}
    for name, pruner in (("cached", "hyperband"), ("naive", "none")):
        params = parameters(depth, pruner=pruner).model_copy(update={"seed": seed})
        made = opened(SharesHeads if name == "naive" else TrialContext, params)
        definition, connected = definition_of(made), storage.connect("")
        label = f"{name}-{seed}-{time.time_ns()}"
        Worker(made, definition, connected).work(label, trials)
        found[name] = study.ranked_trials(study.open_study(definition, connected, label))[0].values[
            0
        ]
    return found


def equal() -> dict[str, float]:
    """Return the largest difference of a weight between cached and naive training."""
    params = parameters(4)
    off = params.augment.model_copy(update=dict.fromkeys(type(params.augment).model_fields, 0))
    params = params.model_copy(update={"augment": off})
    states = []
    for kind in (TrialContext, Naive):
        _, classifier = trial.run(opened(kind, params), params, lambda _: None)
        states.append(classifier.state_dict())
    gaps = [(states[0][key].double() - states[1][key].double()).abs().max() for key in states[0]]
    return {"difference": max(float(gap) for gap in gaps)}


def overhead(trials: int) -> dict[str, float]:
    """Return the seconds per trial of Optuna and of MLflow, for trials that only report."""
    params = parameters(4)
    made = open_trial_context(params, PREPARED)
    definition, connected = definition_of(made), storage.connect("")
    name = f"overhead-{time.time_ns()}"
    rows = [EpochRow(epoch, 0.5, 1 / (epoch + 1), 0.5, 0.001) for epoch in range(8)]

    def instead(_: Any, params: Params, report: Any) -> tuple[trial.Result, Any]:
        for row in rows:
            report(row)
        curve = [dict(vars(row)) for row in rows]
        metrics = {"log_loss": params.unfreeze.lr, "accuracy": 0.5, "macro_f1": 0.5}
        return trial.Result(metrics, None, 7, curve, 0.0), None

    trial.run = instead  # type: ignore[assignment]
    begun = time.perf_counter()
    Worker(made, definition, connected).work(name, trials)
    optuna_seconds = (time.perf_counter() - begun) / trials
    logged = study_log.StudyLog(
        study.open_study(definition, connected, name), definition, Path(".thaw/plots")
    )
    begun = time.perf_counter()
    logged.update(print_each=False)
    return {"optuna": optuna_seconds, "mlflow": (time.perf_counter() - begun) / trials}


def main() -> None:
    """Run the part that the command line names and print its result."""
    parts: dict[str, Callable[..., dict[str, Any]]] = {
        "speed": speed,
        "quality": quality,
        "equal": equal,
        "overhead": overhead,
    }
    arguments = parser(__doc__)
    arguments.add_argument("part", choices=list(parts))
    arguments.add_argument("words", nargs="*")
    given = arguments.parse_args()
    words = [int(word) if word.isdigit() else word for word in given.words]
    print(json.dumps(parts[given.part](*words)))


if __name__ == "__main__":
    main()

"""What ``search.py`` measures, in a folder with prepared data; a line of JSON.

As ``search_parts.py speed TRIALS NAIVE DEPTH``, ``quality TRIALS SEED DEPTH``, ``equal`` or
``overhead TRIALS``, in a process of its own: malloc is set up before it starts. The naive way is
thaw's own loop on thaw's own packed images, which are faster than files: nothing is cached, and
each trial trains its head itself.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thaw import config
from thaw.config import Params
from thaw.search import ground, log, space, storage, study, trial
from thaw.search.question import Question
from thaw.search.worker import Worker
from thaw.training.activations import AtCut
from thaw.training.history import Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw.config import Augment
    from thaw.model.blocks import Classifier

PREPARED = Path("data/prepared")


@dataclass
class Naive(ground.Ground):
    """Every epoch of every trial reads the images, and every trial trains its own head."""

    trials: int = 0

    def inputs(
        self,
        classifier: Classifier,  # noqa: ARG002
        cut: int,  # noqa: ARG002
        params: Params,
        augmentation: Augment | None,
    ) -> AtCut:
        """The images themselves."""
        preprocessing = self.spec.preprocessing
        train = self.data.images("train", preprocessing, params.seed, augmentation)
        return AtCut((train, self.data.images("val", preprocessing)), 0)

    def head_path(self, params: Params) -> Path:  # noqa: ARG002
        """A file that is not there yet."""
        self.trials += 1
        return Path(f".thaw/naive/{time.time_ns()}-{self.trials}.safetensors")


def parameters(depth: int, **changes: Any) -> Params:
    """Those of the folder, searched over depths up to ``depth``; ``changes`` are of ``search``."""
    params = config.load(Params)
    wanted = config.Range(low=0, high=depth, log=False) if depth else [0]
    whole = {**params.search.space, "unfreeze.depth": wanted}
    search = params.search.model_copy(update={"space": whole, "confirm_seeds": 0, **changes})
    params = params.model_copy(update={"search": search})
    unfreeze = params.unfreeze.model_copy(update={"depth": depth})
    return params.model_copy(update={"unfreeze": unfreeze})


def naive_ground(params: Params) -> Naive:
    """The same data and backbone, without a cache."""
    made = ground.opened(params, PREPARED)
    return Naive(made.params, made.runtime, made.data, made.parent)


def speed(trials: int, naive: int, depth: int) -> dict[str, float]:
    """Seconds a trial: ``trials`` from an empty cache, and the first ``naive`` of them naively."""
    params = parameters(depth)
    made = ground.opened(params, PREPARED)
    question = Question.of(params, made.data.manifest.digest)
    connected = storage.connect("")
    name = f"speed-{depth}-{time.time_ns()}"
    begun = time.perf_counter()
    Worker(made, question, connected).work(name, 0, trials)
    cached = (time.perf_counter() - begun) / trials
    slow, seconds = naive_ground(params), []
    for each in study.open_study(question, connected, name).get_trials(deepcopy=False)[:naive]:
        values = study.values_of(each, question.dimensions)
        begun = time.perf_counter()
        trial.run(slow, space.changed(params, values), lambda _: None)
        seconds.append(time.perf_counter() - begun)
    return {"cached": cached, "naive": sum(seconds) / len(seconds)}


def quality(trials: int, seed: int, depth: int) -> dict[str, float]:
    """The best validation loss of as many trials, with everything and naively."""
    found = {}
    for name in ("cached", "naive"):
        changes = {"pruner": "none"} if name == "naive" else {}
        params = parameters(depth, **changes).model_copy(update={"seed": seed})
        make: Callable[[Params], ground.Ground] = naive_ground
        made = make(params) if name == "naive" else ground.opened(params, PREPARED)
        question = Question.of(params, made.data.manifest.digest)
        connected = storage.connect("")
        label = f"{name}-{seed}-{time.time_ns()}"
        Worker(made, question, connected).work(label, 0, trials)
        found[name] = study.ranked(study.open_study(question, connected, label))[0].values[0]
    return found


def equal() -> dict[str, float]:
    """The largest difference of a tensor, cached against uncached training, no augmentation."""
    params = parameters(4)
    off = params.augment.model_copy(update=dict.fromkeys(type(params.augment).model_fields, 0))
    return {"difference": _gap(params.model_copy(update={"augment": off}))}


def _gap(params: Params) -> float:
    states = []
    for made in (ground.opened(params, PREPARED), naive_ground(params)):
        _, classifier = trial.run(made, params, lambda _: None)
        states.append(classifier.state_dict())
    return max(
        float((states[0][key].double() - states[1][key].double()).abs().max()) for key in states[0]
    )


def overhead(trials: int) -> dict[str, float]:
    """Seconds a trial that Optuna and MLflow take: trials that only report seven epochs."""
    params = parameters(4)
    made = ground.opened(params, PREPARED)
    question = Question.of(params, made.data.manifest.digest)
    connected = storage.connect("")
    name = f"overhead-{time.time_ns()}"
    rows = [Row(epoch, 0.5, 1 / (epoch + 1), 0.5, 0.001) for epoch in range(8)]

    def instead(_: Any, params: Params, report: Any) -> tuple[trial.Result, Any]:
        for row in rows:
            report(row)
        curve = [dict(vars(row)) for row in rows]
        return trial.Result(params.unfreeze.lr, 0.5, 0.5, None, 7, curve, 0.0), None

    trial.run = instead  # type: ignore[assignment]
    begun = time.perf_counter()
    Worker(made, question, connected).work(name, 0, trials)
    optuna_seconds = (time.perf_counter() - begun) / trials
    logged = log.Log(
        params, study.open_study(question, connected, name), question, Path(".thaw/plots")
    )
    begun = time.perf_counter()
    logged.update(say_each=False)
    return {"optuna": optuna_seconds, "mlflow": (time.perf_counter() - begun) / trials}


def main() -> None:
    """Run the part that the command line names, and print what came out."""
    parts: dict[str, Callable[..., dict[str, float]]] = {
        "speed": speed,
        "quality": quality,
        "equal": equal,
        "overhead": overhead,
    }
    print(json.dumps(parts[sys.argv[1]](*(int(word) for word in sys.argv[2:]))))


if __name__ == "__main__":
    main()

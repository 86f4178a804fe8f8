"""Run benchmarks by name: `make bench TARGETS="pipeline drift"`. Without a name, list them."""

from __future__ import annotations

import subprocess
import sys
from typing import NamedTuple


class Target(NamedTuple):
    """A benchmark: its module, its usual duration on two cores, and what it measures."""

    module: str
    duration: str
    measures: str


TARGETS = {
    "pipeline": Target(
        "pipeline", "5 min", "dvc repro on the digits: accuracy, times, cached and compiled passes"
    ),
    "startup": Target(
        "start_up", "5 min", "processor time of short commands, and of two pipelines from nothing"
    ),
    "method": Target(
        "method.comparison",
        "3 h",
        "thaw against logistic regression, plain fine-tuning and fastai on seven data sets",
    ),
    "choices": Target(
        "choice_cost", "15 min", "what the choices of a new project cost, over one training"
    ),
    "batchnorm": Target(
        "batchnorm_policies", "10 min", "BatchNorm policies at several batch sizes"
    ),
    "search": Target(
        "search_against_naive", "3 h", "hyperparameter search against uncached trials; kills"
    ),
    "promotion": Target("promotion_gate", "60 min", "error rates of the gate; racing promotions"),
    "gate": Target(
        "gate_error_rates", "10 min", "how often the gate's rule for the log-loss decides wrongly"
    ),
    "serving": Target(
        "serving_throughput", "10 min", "throughput and latency of thaw serve and predict"
    ),
    "prefetching": Target(
        "cpu_prefetching", "3 min", "training on a CPU with batches prepared in a thread"
    ),
    "services": Target(
        "team_servers", "90 min", "work on real servers: overhead, kills, restarts, errors, outages"
    ),
    "drift": Target("drift_scores", "5 min", "drift scores of shifted digits"),
    "labels": Target(
        "label_agreement",
        "30 min",
        "labels of 1,000 files of odd sizes in evaluate, predict, serve and exports",
    ),
    "data": Target(
        "large_data", "15 min", "prepare on many images: speed against Pillow, growth, memory"
    ),
    "checksums": Target("checksum_cost", "1 min", "what the comparison with checksums costs"),
    "gpu": Target("gpu", "30 min", "thaw on a GPU: steps, stages, kills, predict and serve"),
}


def main(arguments: list[str]) -> int:
    """Run the benchmarks in ``arguments`` one after another; list all if there is none.

    Arguments that start with ``-`` are passed to the benchmark before them.
    """
    if not arguments:
        print('Targets, for make bench TARGETS="...":\n')
        for name, target in TARGETS.items():
            print(f"  {name:11} {target.measures} (about {target.duration})")
        return 0
    unknown = [name for name in arguments if not name.startswith("-") and name not in TARGETS]
    if unknown:
        print(f"no benchmark {unknown[0]!r}: choose from {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    if arguments[0].startswith("-"):
        print("name a benchmark before its options", file=sys.stderr)
        return 2
    for command in commands(arguments):
        code = subprocess.run([sys.executable, "-m", *command]).returncode
        if code:
            return code
    return 0


def commands(arguments: list[str]) -> list[list[str]]:
    """Return the module of each benchmark, followed by its options."""
    found: list[list[str]] = []
    for argument in arguments:
        if argument in TARGETS:
            found.append([f"benchmarks.{TARGETS[argument].module}"])
        else:
            found[-1].append(argument)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

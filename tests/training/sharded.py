"""Sharded trainings in two processes that are running; each writes what it comes to."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from tests import settings
from tests.training import phase
from tests.training.phase import Dying, Killed, Variant
from thaw.config.process_sections import Launch
from thaw.errors import ThawError
from thaw.model.freeze_plan import Plan
from thaw.optimizers.registry import OPTIMIZERS
from thaw.training import divided_tensors, phase_checkpoints, sharding
from thaw.training.learner import Learner
from thaw.training.precision import Precision
from thaw.training.runtime import Runtime, start
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from thaw.data.loading import Source
    from thaw.literals import BatchNormPolicy
    from thaw.model.classifier import Classifier

LAUNCH = Launch(processes=2, threads=1, shard="on")
BETWEEN = Plan(frozenset({0, 2}), 3, "frozen")  # block 1 is frozen between two that train
VARIANTS = {name: phase.VARIANTS[name] for name in ("sgd", "pulls", "accumulated", "everything")}
KILLED_AT = (0, 4, 11)
# What the suite tries; `make soak` tries the others as well.
POLICIES: tuple[BatchNormPolicy, ...] = ("train", "frozen")
SAMPLE = ("everything",)  # of VARIANTS
OPTIMIZER = "adamw"


@dataclass(frozen=True)
class Rank:
    """One of the two processes."""

    out: Path
    runtime: Runtime
    all_cases: bool  # else the sample of the suite

    def keep(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        plain = {key: value.contiguous() for key, value in tensors.items()}
        save_file(plain, self.out / f"{name}-{self.runtime.rank}.safetensors")

    def fit(
        self,
        name: str,
        classifier: Classifier,
        sources: tuple[Source, Source],
        variant: Variant = phase.PLAIN,
        runtime: Runtime | None = None,
    ) -> None:
        """Train and write the weights, where a whole parameter would be an error."""
        folder = self.out / f"fit-{name}"
        progress = phase.fit_variant(
            folder, classifier, sources, variant, runtime=runtime or self.runtime
        )
        assert not any(divided_tensors.is_divided(p) for p in classifier.parameters())
        self.keep(f"fit-{name}", phase.state(classifier))
        self.keep(f"history-{name}", {"losses": phase.losses(progress.history)})

    def train_all(self, data: tuple[Source, Source]) -> None:
        for policy in phase.POLICIES if self.all_cases else POLICIES:
            self.fit(policy, phase.model(batch_norm=policy), data)
        for name in VARIANTS if self.all_cases else SAMPLE:
            self.fit(name, phase.model(3, "affine"), data, VARIANTS[name])
        between = phase.model()
        phase.set_plan(between, BETWEEN)
        self.fit("between", between, data)
        self.fit("head", phase.model(0), data)
        bf16 = replace(self.runtime, precision=Precision("bf16"))
        self.fit("bf16", phase.model(), data, runtime=bf16)
        deferred = replace(self.runtime, asynchronous=True)  # as on a GPU
        for name in list(OPTIMIZERS) if self.all_cases else [OPTIMIZER]:
            variant = Variant(phase.config(optimizer=name))
            self.fit(f"deferred-{name}", phase.model(3, "affine"), data, variant, deferred)
        scaled = replace(deferred, precision=Precision("fp16"))
        self.fit("fp16", phase.model(3, "affine"), data, runtime=scaled)

    def resume(self, data: tuple[Source, Source], name: str, variant: Variant) -> None:
        """Kill both processes at the same reading; train on from the checkpoints."""
        for at in KILLED_AT:
            folder = self.out / f"{name}-{at}"
            if at:
                with suppress(Killed):
                    dying = Dying(data[0], at), data[1]
                    self._restarted(folder, dying, variant)
                    raise AssertionError("it was not killed")
                self.runtime.wait()
            self.keep(f"{name}-{at}", self._restarted(folder, data, variant))

    def _restarted(
        self, folder: Path, data: tuple[Source, Source], variant: Variant
    ) -> dict[str, Tensor]:
        classifier = phase.model(3, "train", dropout=0.5)
        phase.fit_variant(folder, classifier, data, variant, runtime=self.runtime)
        return phase.state(classifier)

    def lose_a_part(self, data: tuple[Source, Source]) -> None:
        """Kill a training, remove the newest part of the second process, and train on."""
        folder = self.out / "lost"
        with suppress(Killed):
            self._restarted(folder, (Dying(data[0], 9), data[1]), phase.PLAIN)
        self.runtime.wait()
        if self.runtime.rank == 1:
            newest = max((folder / "checkpoints/key/1-of-2").iterdir())
            newest.write_bytes(newest.read_bytes()[:-1])
        self.keep("lost", self._restarted(folder, data, phase.PLAIN))

    def shares(self, data: tuple[Source, Source]) -> None:
        """Write how much of a learner's weights and optimiser state this process holds."""
        classifier = phase.model(2)
        setup = TrainingSetup(phase.config(), settings.regularize(), phase.SEED)
        with sharding.divided(self.runtime, classifier, 0) as working:
            learner = Learner(self.runtime, working, data[0].targets, setup, 0)
            batch = next(iter(self.runtime.load(data[0], self.runtime.batch_parts(_order(), 8), 1)))
            learner.network.train()
            learner.learn(batch, 1, 0, 0)
            held: dict[str, Any] = {}
            for name, parameter in working.named_parameters():
                held[name] = divided_tensors.share(parameter.detach()).numel()
                for key, value in learner.optimizer.state.get(parameter, {}).items():
                    held[f"{name}.{key}"] = divided_tensors.share(value).numel()
        self.keep("held", {name: torch.tensor(count) for name, count in held.items()})


def _order() -> Any:
    return torch.arange(phase.TRAIN).numpy()


def main(out: Path, *, all_cases: bool) -> None:
    """Run the trainings of this module and write ``out/NAME-RANK.safetensors``."""
    gc.freeze()  # each training collects garbage: what the imports made need not be walked
    torch.set_num_threads(1)
    vars(phase_checkpoints)["READ_EVERY"] = 1  # so that epochs of five steps are saved inside, too
    try:
        start(LAUNCH.model_copy(update={"processes": 1}), phase.resources())
    except ThawError as error:
        refusal = str(error)
    rank = Rank(out, start(LAUNCH, phase.resources(1e-9)), all_cases)
    (out / f"refusal-{rank.runtime.rank}.txt").write_text(refusal)
    number = rank.runtime.rank
    train = phase.images(out / f"train-{number}", phase.TRAIN)
    val = phase.images(out / f"val-{number}", phase.VAL)
    augmented = phase.images(out / f"augmented-{number}", phase.TRAIN, augmented=True)
    rank.train_all((train, val))
    rank.resume((augmented, val), "killed", phase.PLAIN)
    if all_cases:
        rank.resume((augmented, val), "killed-everything", phase.VARIANTS["everything"])
    rank.lose_a_part((augmented, val))
    rank.shares((train, val))


if __name__ == "__main__":
    main(Path(sys.argv[1]), all_cases="all" in sys.argv[2:])

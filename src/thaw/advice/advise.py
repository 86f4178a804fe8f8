"""Which of the four cases of transfer learning this is, and what to do then; a pure function.

| | similar to the source | dissimilar |
|---|---|---|
| small | head only | early features with a classical classifier |
| large | fine-tune at a low rate | fine-tune everything |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.advice.probe import Probe

# Training images a class from which changing the backbone pays: of similar data it has seen
# better, and of dissimilar data it has seen nothing. docs/benchmarks.md has the table.
LARGE = {"similar": 80, "dissimilar": 40}
# Shift of the BatchNorm statistics, in standard deviations, above which data counts as dissimilar.
FAR = 0.6
# How many standard errors a lower block must lead the last one by to count as better.
CLEAR = 2.0


@dataclass(frozen=True)
class Facts:
    """What was measured: the size of the training split, the probes, the shift."""

    images: int
    classes: int
    blocks: int
    single: Sequence[Probe]
    joined: Sequence[Probe]
    shift: float

    @property
    def per_class(self) -> float:
        """Training images a class, on average."""
        return self.images / self.classes

    @property
    def best(self) -> Probe:
        """The block whose features alone classify best."""
        return max(self.single, key=lambda probe: probe.accuracy)

    @property
    def is_large(self) -> bool:
        """Whether there are enough images to change the backbone."""
        return self.per_class >= self.limit

    @property
    def limit(self) -> int:
        """The images a class from which the data is large."""
        return LARGE["similar" if self.is_similar else "dissimilar"]

    @property
    def is_similar(self) -> bool:
        """Whether the backbone's last features are its best ones here, and its statistics hold."""
        return self.shift <= FAR and not self.lead_is_clear

    @property
    def lead_is_clear(self) -> bool:
        """Whether a lower block's features are clearly better than the last one's."""
        last = self.single[-1]
        return self.best.accuracy - last.accuracy > CLEAR * last.error


@dataclass(frozen=True)
class Advice:
    """The case, why, and the values for ``params.yaml`` by dotted key."""

    case: str
    reasons: list[str]
    values: dict[str, Any]

    def of(self, section: str) -> dict[str, Any]:
        """The values of one section, by their own keys."""
        prefix = f"{section}."
        return {
            key.removeprefix(prefix): value
            for key, value in self.values.items()
            if key.startswith(prefix)
        }


def advise(facts: Facts) -> Advice:
    """The case of ``facts`` and the values that suit it."""
    size = "large" if facts.is_large else "small"
    likeness = "similar" if facts.is_similar else "dissimilar"
    return Advice(f"{size} and {likeness}", _reasons(facts), _values(facts))


def _values(facts: Facts) -> dict[str, Any]:
    if facts.is_large and not facts.is_similar:
        # The features are about to change: a head fitted to them would only be in the way.
        return {
            "head.taps": [],
            "warmup_head.fit": "gradient",
            "unfreeze.depth": facts.blocks,
            "unfreeze.lr": 0.001,
            "unfreeze.batch_norm": "train",
            "unfreeze.epochs": 7,
            "fold_bn.epochs": 2,
        }
    taps = _taps(facts)
    head = {"head.taps": taps, "head.hidden": [], "warmup_head.fit": "logistic"}
    if not facts.is_large:
        return {**head, "unfreeze.depth": 0, "unfreeze.epochs": 0, "fold_bn.epochs": 0}
    return {
        **head,
        "augment.crop": 0.45,
        "regularize.label_smoothing": 0.1,
        "unfreeze.depth": max(taps, default=facts.blocks),
        "unfreeze.lr": 0.0001,
        "unfreeze.batch_norm": "frozen",
        "unfreeze.epochs": 7,
        "fold_bn.epochs": 0,
    }


def _taps(facts: Facts) -> list[int]:
    """The blocks that classify best together, or alone; [] is the last block alone."""
    probes = [facts.single[-1], *facts.joined]
    chosen = max(probes, key=lambda probe: probe.accuracy)
    return [] if chosen.blocks == (facts.blocks,) else list(chosen.blocks)


def _reasons(facts: Facts) -> list[str]:
    last, best = facts.single[-1], facts.best
    more = "not less" if facts.is_large else "less"
    lead = "clearly above" if facts.lead_is_clear else "not clearly above"
    side = "far from" if facts.shift > FAR else "near"
    together = max([*facts.joined, last], key=lambda probe: probe.accuracy)
    return [
        f"{facts.images} training images of {facts.classes} classes, "
        f"{facts.per_class:.0f} a class: {more} than the limit of {facts.limit}",
        f"block {best.name} alone classifies {best.accuracy:.3f}, {lead} the last block's "
        f"{last.accuracy:.3f} (standard error {last.error:.3f})",
        f"the BatchNorm statistics are shifted by {facts.shift:.2f} standard deviations: "
        f"{side} the source (limit {FAR})",
        f"blocks {together.name} together classify {together.accuracy:.3f}",
    ]

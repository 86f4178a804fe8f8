"""Which of the four cases of transfer learning this is, and what to do then; a pure function.

| | similar to the source | dissimilar |
|---|---|---|
| small | head only: features of one or several depths | early features |
| large | fine-tune at a low rate | fine-tune everything |

Where the backbone starts from scratch there is no source: everything trains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.advice.linear_probes import Probe
    from thaw.config.params import Params

# Training images a class from which changing the backbone pays: of similar data it has seen
# better, and of dissimilar data it has seen nothing. Round numbers between the few trials that
# docs/benchmarks.md tells of, not measured in steps: on similar data (clip art) fine-tuning lost at
# 30 a class and won at about 100; on shifted digits frozen features lost at 60.
LARGE = {"similar": 80, "dissimilar": 40}
# Shift of the BatchNorm statistics, in standard deviations, above which data counts as dissimilar.
FAR = 0.6
# How many standard errors a lower block must lead the last one by to count as better.
CLEAR = 2.0
# How well a classifier must tell training from validation images for the validation images to
# count as shifted: a balanced accuracy, and how many standard errors above chance.
APART = (0.6, 3.0)
# What a backbone that trains should see where validation images look otherwise than training
# images: changes of light, colour and grain. 0 each where they look alike.
ROBUST = {
    "augment.brightness": 0.2,
    "augment.contrast": 0.3,
    "augment.tint": 0.5,
    "augment.noise": 0.1,
}


@dataclass(frozen=True)
class Facts:
    """What was measured: the size of the training split, the probes, the shift.

    ``shift`` is None where there was none to measure: no BatchNorm, or no source.
    """

    images: int
    classes: int
    blocks: int
    single: Sequence[Probe]
    joined: Sequence[Probe]
    shift: float | None
    told_apart: tuple[float, float] = (0.5, 0.0)  # balanced accuracy, and chance's standard error
    from_scratch: bool = False

    @property
    def is_shifted(self) -> bool:
        """Whether the validation images look otherwise than the training images."""
        accuracy, error = self.told_apart
        least, errors = APART
        return accuracy >= least and accuracy - 0.5 > errors * error

    @property
    def per_class(self) -> float:
        """Training images a class, on average."""
        return self.images / self.classes

    @property
    def best(self) -> Probe:
        """The block whose features alone classify best."""
        return max(self.single, key=lambda probe: probe.accuracy)

    @property
    def readable(self) -> Probe:
        """What a head on frozen features should read: the blocks that classify best.

        Of similar data the last block alone or with those below it; of dissimilar data also any
        block alone. Of equals, the one that stands first here.
        """
        candidates = [self.single[-1], *self.joined, *([] if self.is_similar else self.single)]
        return max(candidates, key=lambda probe: probe.accuracy)

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
        return not is_far(self.shift) and not self.lead_is_clear

    @property
    def lead_is_clear(self) -> bool:
        """Whether a lower block's features are clearly better than the last one's."""
        last = self.single[-1]
        return self.best.accuracy - last.accuracy > CLEAR * last.error


@dataclass(frozen=True)
class Advice:
    """The case, why, and the values for ``params.yaml`` by dotted key: the same keys in each."""

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

    def beside(self, section: str, params: Params) -> dict[str, Any]:
        """The values of all other sections that ``params`` does not have."""
        content = params.model_dump()
        found = {}
        for key, value in self.values.items():
            other, name = key.split(".")
            if other != section and content[other][name] != value:
                found[key] = value
        return found


def is_far(shift: float | None) -> bool:
    """Whether the shift says that the data is far from the source."""
    return shift is not None and shift > FAR


def advise(facts: Facts) -> Advice:
    """The case of ``facts`` and the values that suit it."""
    size = "large" if facts.is_large else "small"
    likeness = "similar" if facts.is_similar else "dissimilar"
    case = "from scratch" if facts.from_scratch else f"{size} and {likeness}"
    return Advice(case, _reasons(facts), _values(facts))


def _values(facts: Facts) -> dict[str, Any]:
    """A value for every key that some case sets: what another case once wrote does not stay."""
    if facts.from_scratch or (facts.is_large and not facts.is_similar):
        # The features are about to change: a head fitted to them would only be in the way.
        return {
            **_head([], "gradient"),
            **_inputs(facts),
            **_unfreeze(facts.blocks, **_everything(facts), epochs=7),
            "fold_bn.epochs": 2,
        }
    head = _head(_taps(facts), "logistic")
    if facts.is_large:
        return {
            **head,
            **_inputs(facts, crop=0.45),
            **_unfreeze(facts.blocks, lr=0.0001, batch_norm="frozen", epochs=7),
            "fold_bn.epochs": 0,
        }
    return {
        **head,
        **dict.fromkeys(_inputs(facts), 0.0),  # nothing trains on them
        **_unfreeze(0, lr=0.0001, batch_norm="frozen", epochs=0),
        "fold_bn.epochs": 0,
    }


def _everything(facts: Facts) -> dict[str, Any]:
    """The rate and the BatchNorm policy with which all blocks learn.

    Statistics of training images are not those of shifted ones: affine maps have none, and take a
    lower rate. docs/benchmarks.md has the difference. From scratch nothing learns without them.
    """
    if facts.is_shifted and not facts.from_scratch:
        return {"lr": 0.0003, "batch_norm": "affine"}
    return {"lr": 0.001, "batch_norm": "train"}


def _head(taps: list[int], fit: str) -> dict[str, Any]:
    return {"head.taps": taps, "head.hidden": [], "warmup_head.fit": fit}


def _inputs(facts: Facts, crop: float = 0.0) -> dict[str, float]:
    """What the advice has to say of images and targets; other changes are the user's to know.

    Where all blocks train, the training loss soon is nothing, and the errors left are confident
    ones: labels are smoothed.
    """
    robust = ROBUST if facts.is_shifted else dict.fromkeys(ROBUST, 0.0)
    return {"augment.crop": crop, **robust, "regularize.label_smoothing": 0.1}


def _unfreeze(depth: int, *, lr: float, batch_norm: str, epochs: int) -> dict[str, Any]:
    return {
        "unfreeze.depth": depth,
        "unfreeze.blocks": [],
        "unfreeze.gradual_epochs": 0,
        "unfreeze.lr": lr,
        "unfreeze.batch_norm": batch_norm,
        "unfreeze.epochs": epochs,
    }


def _taps(facts: Facts) -> list[int]:
    """The blocks that the head should read; [] is the last block alone."""
    chosen = facts.readable.blocks
    return [] if chosen == (facts.blocks,) else list(chosen)


def _reasons(facts: Facts) -> list[str]:
    if facts.from_scratch:
        why = (
            "backbone.weights is none: there is no source that this data could be near, so the "
            "probes and the BatchNorm statistics say nothing, and everything is to be learnt"
        )
        return [why, _told_apart(facts)]
    last, best = facts.single[-1], facts.best
    more = "not less" if facts.is_large else "less"
    lead = "clearly above" if facts.lead_is_clear else "not clearly above"
    best_of_all = facts.readable
    several = "s" if len(best_of_all.blocks) > 1 else ""
    return [
        f"{facts.images} training images of {facts.classes} classes, "
        f"{facts.per_class:.0f} a class: {more} than the limit of {facts.limit}",
        f"block {best.name} alone classifies {best.accuracy:.3f}, {lead} the last block's "
        f"{last.accuracy:.3f} (standard error {last.error:.3f})",
        _shift(facts.shift),
        f"of what a head can read, block{several} {best_of_all.name} "
        f"classif{'y' if several else 'ies'} best: {best_of_all.accuracy:.3f}",
        _told_apart(facts),
    ]


def _shift(shift: float | None) -> str:
    if shift is None:
        return "the backbone has no BatchNorm: no shift was measured"
    side = "far from" if is_far(shift) else "near"
    return (
        f"the BatchNorm statistics are shifted by {shift:.2f} standard deviations: "
        f"{side} the source (limit {FAR})"
    )


def _told_apart(facts: Facts) -> str:
    accuracy, error = facts.told_apart
    number = f"balanced accuracy {accuracy:.2f} (standard error of chance {error:.2f})"
    if facts.is_shifted:
        return (
            f"a classifier tells training from validation images with {number}: they look different"
        )
    return f"a classifier cannot surely tell training from validation images: {number}"

"""Error rates of the gate's default rule for the log-loss: `make bench TARGETS=gate`.

Models are simulated, so that the true difference of their log-losses is known. A model of signal b
gives an image of class t the logits b * (b * e_t + noise) with standard normal noise: these are the
logits of Bayes' rule, so that the model is calibrated. The noise of two models is correlated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax

from benchmarks.command_line import parser
from thaw.config.promotion_sections import Promote
from thaw.metrics.registry import METRICS
from thaw.promotion import paired_tests
from thaw.promotion.paired_tests import Pair, compare
from thaw.system.console import progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CLASSES, BINS = 10, 15
CHAMPION = 2.3  # signal: a log-loss of 0.71
POPULATION = 200_000  # images that state the true log-loss
WORSE_BY = (0.1, 0.05, 0.0, -0.05)


class Case(NamedTuple):
    """Two models: the correlation of their noise, and the factor of their logits.

    With a factor above 1, both are too sure.
    """

    name: str
    correlation: float
    factor: float


CASES = (
    Case("alike", 0.95, 1.0),
    Case("different", 0.5, 1.0),
    Case("different, both too sure", 0.5, 2.0),
)


def name_of(worse_by: float) -> str:
    """Return the heading of a column."""
    if not worse_by:
        return "equally good"
    return f"{'worse' if worse_by > 0 else 'better'} by {abs(worse_by):g}"


def true_log_loss(signal: float, factor: float) -> float:
    """Return the log-loss of a model on the whole population."""
    noise = np.random.default_rng(0).normal(size=(POPULATION, CLASSES))
    noise[:, 0] += signal  # all images are of class 0: the classes are exchangeable
    return float(-log_softmax(factor * signal * noise, axis=1)[:, 0].mean())


def signal_of(log_loss: float, factor: float) -> float:
    """Return the signal of the model that has ``log_loss``."""
    return float(brentq(lambda s: true_log_loss(s, factor) - log_loss, 0.5, 6.0, xtol=1e-4))


def drawn(case: Case, signals: tuple[float, float], images: int, seed: int) -> Pair:
    """Return the probabilities of challenger and champion for ``images`` drawn images."""
    generator = np.random.default_rng(seed)
    targets = np.arange(images) % CLASSES
    shared, *own = generator.normal(size=(3, images, CLASSES))
    found = []
    for signal, noise in zip(signals, own, strict=True):
        mixed = case.correlation**0.5 * shared + (1 - case.correlation) ** 0.5 * noise
        mixed[np.arange(images), targets] += signal
        found.append(softmax(case.factor * signal * mixed, axis=1))
    return Pair(found[0], found[1], targets, BINS)


def accepted(case: Case, worse_by: float, images: int, rounds: int) -> float:
    """Return the share of ``rounds`` test splits on which the challenger passes the rule.

    Its true log-loss is higher than that of the champion by ``worse_by``.
    """
    rules = Promote()
    champion = true_log_loss(CHAMPION, case.factor)
    signals = (signal_of(champion + worse_by, case.factor), CHAMPION)
    margin, passed = rules.not_worse["log_loss"], 0
    for seed in range(rounds):
        pair = drawn(case, signals, images, seed)
        found = compare(pair, METRICS["log_loss"], margin=margin, confidence=rules.confidence)
        passed += found.confidence >= rules.confidence
    return passed / rounds


def main() -> None:
    """Simulate every case and print the table."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=400, help="test splits of each cell")
    options.add_argument("--images", type=int, nargs="+", default=[50, 200, 1000])
    options.add_argument("--resamples", type=int, default=paired_tests.RESAMPLES, help="bootstrap")
    arguments = options.parse_args()
    paired_tests.RESAMPLES = arguments.resamples
    table = Table(title=f"share that passes the rule for the log-loss, {arguments.rounds} splits")
    table.add_column("models")
    table.add_column("test images")
    for worse_by in WORSE_BY:
        table.add_column(name_of(worse_by))
    cells = [(case, images) for case in CASES for images in arguments.images]
    for case, images in progress(cells, "simulated comparisons", len(cells)):
        shares = [accepted(case, d, images, arguments.rounds) for d in WORSE_BY]
        table.add_row(case.name, str(images), *(f"{share:.3f}" for share in shares))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

"""Error rates of the gate, and racing promotions: `make bench TARGETS=promotion`.

The models are linear heads (thaw.training.linear_heads) on features of the digits from one frozen
backbone. Each round draws its own test split, from images on which no head was fitted.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mlflow.tracking import MlflowClient
from rich.console import Console
from rich.table import Table

from benchmarks.command_line import parser
from tests import settings, tiny
from thaw.config.promotion_sections import Promote
from thaw.data.loading import ActivationSource
from thaw.evaluation.scores import score
from thaw.metrics.predictions import Predictions
from thaw.model import zoo
from thaw.model.classifier import Classifier
from thaw.model.freeze_plan import last_blocks
from thaw.model.freezing import apply_plan
from thaw.model.head import build
from thaw.promotion import gate_report
from thaw.promotion.candidate import Candidate
from thaw.promotion.gate import check_rules
from thaw.promotion.gate_report import Report
from thaw.promotion.origin import Origin
from thaw.promotion.promote import record_result
from thaw.promotion.scoring import ScoredVersion
from thaw.registry.ledger import ConflictError, Ledger
from thaw.system.console import progress
from thaw.tracking.store import connect
from thaw.training.checkpoints import Checkpoints
from thaw.training.linear_heads import fit
from thaw.training.loop import fit as fit_loop
from thaw.training.observer import Observer
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float32]
    Ints = NDArray[np.int64]

CLASSES = [str(digit) for digit in range(10)]
TEST, VAL = 270, 270
BINS = settings.PARAMS.evaluate.calibration_bins
DIGEST = "d" * 64
ORIGIN = Origin(
    DIGEST,
    "c" * 40,
    "false",
    "data",
    "lock",
    "data",
    "lock",
    "test",
    "test",
    "prepared",
    "prepared",
)
RACERS = 4


@dataclass(frozen=True)
class Round:
    """Row numbers of a resampled split: the test split, and all others to fit on."""

    pool: Ints
    test: Ints


def main() -> None:
    """Run everything and print the table."""
    accepted = parser(__doc__)
    accepted.add_argument("--rounds", type=int, default=200, help="of racing promotions")
    accepted.add_argument("--offers", type=int, default=100, help="of worse and of equal models")
    arguments = accepted.parse_args()
    torch.set_num_threads(1)
    features, targets = digits()
    rows = [
        *races(arguments.rounds),
        *worse(features, targets, arguments.offers),
        *equal(features, targets, arguments.offers),
    ]
    table = Table(title="gate and promotion")
    for name in ("figure", "to reach", "measured"):
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


def digits() -> tuple[Features, Ints]:
    """Return features (1797, F) of the digits from the packaged backbone, and their classes."""
    from sklearn.datasets import load_digits
    from torch.nn.functional import interpolate

    images, targets = load_digits(return_X_y=True)
    backbone, _ = zoo.load(settings.PARAMS.backbone.fixed(), seed=0)
    network = torch.nn.Sequential(*backbone.blocks, backbone.pool).eval()
    pixels = torch.from_numpy(images.reshape(-1, 1, 8, 8) / 16).float().expand(-1, 3, -1, -1)
    pixels = (pixels - backbone.mean[0]) / backbone.std[0]
    starts = range(0, len(pixels), 128)
    with torch.inference_mode():
        parts = [
            network(interpolate(pixels[start : start + 128], size=64, mode="bicubic"))
            for start in progress(starts, "features of the digits", len(starts))
        ]
    return torch.cat(parts).numpy(), np.asarray(targets, dtype=np.int64)


def resampled(targets: Ints, seed: int) -> Round:
    """Return a split drawn by ``seed``."""
    order = np.random.default_rng(seed).permutation(len(targets))
    return Round(order[TEST:], order[:TEST])


def head(
    features: Features, targets: Ints, split: Round, seed: int, share: float = 1.0
) -> NDArray[np.float64]:
    """Fit a head on ``share`` of the training images; return its probabilities for the test split.

    ``seed`` divides the pool into training and validation images.
    """
    pool = np.random.default_rng([seed, 1]).permutation(split.pool)
    val, train = pool[:VAL], pool[VAL:]
    train = train[: round(len(train) * share)]
    found = fit(
        "logistic",
        (features[train], targets[train]),
        (features[val], targets[val]),
        strengths=(1e-2, 1e-1),
        show=False,
    )
    logits = torch.from_numpy(found.logits(features[split.test]))
    probabilities: NDArray[np.float64] = logits.softmax(dim=1).numpy()
    return probabilities


def retrained(
    features: Features, targets: Ints, split: Round, seed: int, folder: Path
) -> NDArray[np.float64]:
    """Train a head with a hidden layer; return its probabilities for the test split.

    ``seed`` draws the initial weights and the data order. The images do not depend on it.
    """
    width = features.shape[1]
    top = build(settings.head_spec(hidden=[64]), width, len(CLASSES), seed)
    classifier = Classifier([torch.nn.Identity()], torch.nn.Identity(), top)
    apply_plan(classifier, last_blocks(0, 1))
    train, val = (
        ActivationSource(features[places], targets[places])
        for places in (split.pool[VAL:], split.pool[:VAL])
    )
    with contextlib.redirect_stderr(io.StringIO()):  # a line an epoch
        inputs = PhaseInputs(train, val, 1)
        training = settings.training(epochs=10, batch_size=64, lr=0.002)
        setup = TrainingSetup(training, settings.regularize(), seed)
        fit_loop(tiny.runtime(), classifier, inputs, setup, Observer(Checkpoints(folder, "head")))
    with torch.inference_mode():
        logits = classifier.head(torch.from_numpy(features[split.test])).double()
    probabilities: NDArray[np.float64] = logits.softmax(dim=1).numpy()
    return probabilities


def scored(number: int, probabilities: NDArray[np.float64], targets: Ints) -> ScoredVersion:
    """Return the model's scores in the form that the gate reads."""
    scores = score(Predictions(probabilities, targets, BINS), CLASSES)
    recalls = {row["class"]: row["recall"] for row in scores.per_class if row["support"]}
    measured = {"latency_ms": 1.0, "size_mb": 1.0}
    return ScoredVersion(number, DIGEST, probabilities, {**scores.summary, **measured}, recalls)


def passes(
    settings: Promote,
    challenger: NDArray[np.float64],
    champion: NDArray[np.float64],
    targets: Ints,
) -> bool:
    """Return whether the challenger passes the gate."""
    pair = scored(2, challenger, targets), scored(1, champion, targets)
    return all(rule.passed for rule in check_rules(settings, *pair, targets, ORIGIN, BINS))


def worse(features: Features, targets: Ints, offers: int) -> list[tuple[str, str, str]]:
    """Offer models fitted on a fifth of the data, under the project's own rules."""
    through, gaps = 0, []
    for seed in progress(range(offers), "worse models", offers):
        split = resampled(targets, seed)
        known = targets[split.test]
        champion = head(features, targets, split, seed)
        challenger = head(features, targets, split, seed, share=0.2)
        gaps.append(
            float((champion.argmax(1) == known).mean() - (challenger.argmax(1) == known).mean())
        )
        through += passes(settings.PARAMS.promote, challenger, champion, known)
    gap = f"on average {np.mean(gaps):.3f} less accurate"
    return [(f"a worse model ({gap}) accepted", "0", f"{through} of {offers}")]


def equal(features: Features, targets: Ints, offers: int) -> list[tuple[str, str, str]]:
    """Offer models of another seed under "must be better" and under the project's rules.

    Heads of two seeds differ slightly in true accuracy, and more so if they are fitted on another
    division into training and validation images. Therefore each pair is also offered with outputs
    that are swapped at random for each image: two models that are exactly equal.
    """
    metrics = ("accuracy", "log_loss", "macro_f1")
    kinds = ("another seed", "another seed and division", "exactly equal")
    through = {kind: dict.fromkeys(metrics, 0) for kind in kinds}
    own, shipped = settings.PARAMS.promote, 0
    for number in progress(range(offers), "equal models", offers):
        split = resampled(targets, 10_000 + number)
        known = targets[split.test]
        with tempfile.TemporaryDirectory() as folder:
            pair = [
                retrained(features, targets, split, seed, Path(folder) / str(seed))
                for seed in (2 * number, 2 * number + 1)
            ]
        divided = [head(features, targets, split, 2 * number + which) for which in (0, 1)]
        stays = np.random.default_rng(number).integers(0, 2, (len(known), 1)) == 1
        mixed = [np.where(stays, *pair), np.where(stays, *pair[::-1])]
        shipped += passes(own, pair[1], pair[0], known)
        for kind, offered in zip(kinds, (pair, divided, mixed), strict=True):
            for metric in metrics:
                through[kind][metric] += passes(must(own, metric), offered[1], offered[0], known)
    stated = f"at most {1 - own.confidence:.0%}"
    rows = []
    for what, counts in through.items():
        for metric, count in counts.items():
            rows.append((f"{what}, accepted as better by {metric}", stated, f"{count} of {offers}"))
    shares = f"{shipped} of {offers}"
    return [*rows, ("another seed, accepted as not worse (params.yaml)", "", shares)]


def must(own: Promote, metric: str) -> Promote:
    """Return rules whose only condition is a better ``metric``."""
    alone = {"floors": {}, "ceilings": {}, "not_worse": {}, "class_margin": 1.0, "better": metric}
    return Promote.model_validate({**own.model_dump(), **alone})


def races(rounds: int) -> list[tuple[str, str, str]]:
    """Let four processes offer one version each per round; the gate refuses two of them."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlruns/mlflow.db"
        client, _ = connect(settings.PARAMS.tracking.model_copy(update={"uri": uri}))
        client.create_registered_model("raced")
        for _ in range(RACERS * rounds):
            client.create_model_version("raced", source="s3://nowhere/x")
        barrier, results = context.Barrier(RACERS), context.Queue()
        racers = [
            context.Process(target=race, args=(uri, which, rounds, barrier, results))
            for which in range(RACERS)
        ]
        for racer in racers:
            racer.start()
        total = RACERS * rounds
        said = [results.get(timeout=300) for _ in progress(range(total), "races", total)]
        for racer in racers:
            racer.join()
        ledger = Ledger(client, "raced")
        changes = [row for row in ledger.rows() if row.moves_alias]
        bad = sum(is_bad(row.decision.to) for row in changes)
        won = [sum(what == "won" for at, what in said if at == number) for number in range(rounds)]
        standing = ledger.current_version() == changes[-1].decision.to
    counts = {
        what: sum(1 for _, said_ in said if said_ == what) for what in sorted({w for _, w in said})
    }
    listed = ", ".join(f"{count} {what}" for what, count in counts.items())
    good = sum(count == 1 for count in won)
    return [
        (
            f"rounds of {RACERS} racing promotions with one winner",
            f"{rounds}",
            f"{good} ({listed})",
        ),
        ("  versions that failed their gate and became champion", "0", f"{bad}"),
        ("  the alias stands on the last winner", "yes", "yes" if standing else "no"),
    ]


def is_bad(version: int) -> bool:
    """Return whether the gate refuses ``version``, which is every second one."""
    return version % 2 == 0


def race(uri: str, which: int, rounds: int, barrier: Any, results: Any) -> None:
    """Judge a version, wait for the other processes, and decide, in each round."""
    ledger = Ledger(MlflowClient(uri), "raced")
    targets = np.arange(100) % 10
    for number in range(rounds):
        version = 1 + RACERS * number + which
        barrier.wait(300)
        rows, against = ledger.complete(), ledger.current_version()
        found = verdict(version, against, targets)
        barrier.wait(300)
        try:
            record_result(Candidate(ledger, version, against, rows), found)
        except ConflictError:
            results.put((number, "told of the conflict"))
        else:
            results.put((number, "won" if found.passed else "refused"))


def verdict(version: int, against: int | None, targets: Ints) -> Report:
    """Return the gate's report on models that are right on all images or on every second one."""
    right = np.where(np.eye(10)[targets] == 1, 0.91, 0.01)
    wrong = np.where((np.arange(len(targets)) % 2 == 0)[:, None], right, np.roll(right, 1, axis=1))
    challenger = scored(version, wrong if is_bad(version) else right, targets)
    champion = scored(against, right, targets) if against else None
    return Report(
        name="raced",
        version=version,
        alias="champion",
        against=against,
        when="2026-01-01T00:00:00+00:00",
        who="benchmark",
        images=len(targets),
        rules=check_rules(must(settings.PARAMS.promote, "none").model_copy(
            update={"floors": {"accuracy": 0.9}}
        ), challenger, champion, targets, ORIGIN, BINS),
        metrics=gate_report.metric_values(challenger, champion),
    )  # fmt: skip


if __name__ == "__main__":
    main()

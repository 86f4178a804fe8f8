"""A registered version as the gate sees it: its own bits, scored on the test split that is here."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.evaluation.latency import latency
from thaw.evaluation.scores import score
from thaw.metrics.predictions import Predictions
from thaw.model import directory
from thaw.registry.fetch import fetch
from thaw.training.precision import strict_float32
from thaw.training.runtime import logits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from thaw.data.prepared import Prepared
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec
    from thaw.registry.fetch import Version
    from thaw.training.runtime import Runtime


@dataclass(frozen=True)
class Scored:
    """What a version came to on the test split.

    ``probabilities`` (N, C), None where there are none; ``problem`` says why. ``metrics`` by
    name, ``latency_ms`` and ``size_mb`` among them; ``recalls`` by class. ``digest`` is that of
    the model directory that was fetched, "" where none was, or it was damaged.
    """

    version: int
    digest: str = ""
    probabilities: NDArray[np.float64] | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    recalls: dict[str, float] = field(default_factory=dict)
    problem: str = ""


def score_version(version: Version, data: Prepared, runtime: Runtime, bins: int) -> Scored:
    """Fetch ``version`` and score it; what goes wrong with it is kept, not raised."""
    with tempfile.TemporaryDirectory() as scratch:
        digest = ""
        try:
            folder = fetch(version, Path(scratch))
            classifier, spec = directory.load(folder)
            digest = spec.digest  # of the whole directory; both refuse what does not agree with it
            return _score(version.number, folder, classifier, spec, data, runtime, bins)
        except ThawError as error:
            return Scored(version.number, digest, problem=str(error).replace(scratch, ""))


def _score(
    number: int,
    folder: Path,
    classifier: Classifier,
    spec: ModelSpec,
    data: Prepared,
    runtime: Runtime,
    bins: int,
) -> Scored:
    if spec.classes != data.manifest.classes:
        odd = sorted(set(spec.classes) ^ set(data.manifest.classes))
        raise ThawError(f"it and the data have different classes: {', '.join(odd[:5])}")
    source = data.images("test", spec.preprocessing)
    with strict_float32():
        outputs = logits(runtime, classifier, source, f"version {number} on the test split")
    probabilities: NDArray[np.float64] = outputs.double().softmax(dim=1).numpy()
    scores = score(Predictions(probabilities, source.targets, bins), spec.classes)
    measured = {
        "latency_ms": latency(runtime, classifier, source),
        "size_mb": sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) / 1e6,
    }
    recalls = {row["class"]: row["recall"] for row in scores.per_class if row["support"]}
    return Scored(number, spec.digest, probabilities, {**scores.summary, **measured}, recalls)

"""Score a registered version on the test split of this project, from the registered files."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.evaluation.latency import latency_ms
from thaw.evaluation.scores import score
from thaw.metrics.predictions import Predictions
from thaw.model import directory
from thaw.model.calibration import CalibratedSoftmax
from thaw.model.float32 import strict_float32
from thaw.model.inference_memory import bytes_per_image
from thaw.model.sealed_files import size_mb
from thaw.registry.fetch import fetch, fetched_into
from thaw.system.dvc_lock import file_md5
from thaw.system.memory import total_memory
from thaw.training.runtime import SCORE_BATCH, logits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from thaw.data.prepared import Prepared
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec
    from thaw.registry.fetch import Version
    from thaw.training.runtime import Runtime


_MOST_NAMED = 5  # classes in a message


@dataclass(frozen=True)
class ScoredVersion:
    """The predictions and scores of a version on the test split.

    ``probabilities`` (N, C) is None if the version cannot be scored; ``problem`` says why, and
    ``has_other_classes`` whether the reason is that the data have other classes.
    ``metrics`` holds metrics and costs of the registry by name, ``recalls`` the recall by class.
    ``digest`` is that of the fetched model directory, "" if none was fetched or it is damaged.
    ``content`` is the digest of what the model computes: of two equal models, it is the same.
    ``files`` holds the digest of each file of the model directory as DVC computes it, by name.
    """

    version: int
    digest: str = ""
    probabilities: NDArray[np.float64] | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    recalls: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    has_other_classes: bool = False
    content: str = ""
    files: dict[str, str] = field(default_factory=dict)

    def if_decided_on(self, digest: str) -> ScoredVersion:
        """Return this version, without its scores if the model decided on has another digest."""
        if not digest or not self.digest or self.digest == digest:
            return self
        problem = (
            f"its files are not the model that was decided on: that has the digest {digest[:12]}, "
            f"they have {self.digest[:12]}"
        )
        return ScoredVersion(self.version, self.digest, problem=problem)


def score_version(
    version: Version, data: Prepared, runtime: Runtime, bins: int, *, must_load: bool = False
) -> ScoredVersion:
    """Fetch ``version`` and score it; an error is stored as its ``problem``, not raised.

    With ``must_load``, files that are not those of the registered model are an error.

    Raises:
        ThawError: the files were changed, or are not a model of thaw, and ``must_load`` is true.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with fetched_into(Path(scratch), version):
                folder = fetch(version, Path(scratch))
                loaded = directory.load(folder)
        except ThawError as error:
            problem = str(error)
            if must_load:
                if version.uri not in problem:
                    problem = f"{version.uri}: {problem}"
                raise ThawError(f"cannot be promoted: {problem}") from None
            return ScoredVersion(version.number, problem=problem)
        digest = loaded[1].digest  # fetch() and load() refuse files that do not agree with it
        if problem := _class_problem(loaded[1].classes, data.manifest.classes):
            return ScoredVersion(version.number, digest, problem=problem, has_other_classes=True)
        if problem := _memory_problem(loaded, len(data.manifest.ids("test")), runtime):
            return ScoredVersion(version.number, digest, problem=problem)
        try:
            return _score(version.number, folder, loaded, data, runtime, bins)
        except ThawError as error:
            return ScoredVersion(version.number, digest, problem=str(error).replace(scratch, ""))


def _class_problem(own: list[str], of_data: list[str]) -> str:
    """Return in which classes a model and the data differ, "" if in none."""
    if own == of_data:
        return ""
    sides = {
        "it alone has": sorted(set(own) - set(of_data)),
        "the data alone have": sorted(set(of_data) - set(own)),
    }
    parts = [f"{side} {_listed(labels)}" for side, labels in sides.items() if labels]
    return f"the data have other classes: {', '.join(parts) or 'their order differs'}"


def _memory_problem(loaded: tuple[Classifier, ModelSpec], images: int, runtime: Runtime) -> str:
    """Return that a batch of test images takes more memory than this machine has, "" if not.

    The system would end this process, or another one. torch reports a full GPU itself.
    """
    if runtime.device.type != "cpu":
        return ""
    classifier, spec = loaded
    size, batch = spec.preprocessing.image_size, min(images, SCORE_BATCH)
    needed, memory = batch * bytes_per_image(classifier, size), total_memory()
    if needed <= memory:
        return ""
    return (
        f"to score {batch} images of {size} x {size} pixels at once takes about "
        f"{needed / 1e9:,.1f} GB of memory, and this machine has {memory / 1e9:,.1f} GB: promote "
        "it on a larger one"
    )


def _listed(labels: list[str]) -> str:
    more = f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else ""
    return ", ".join(labels[:_MOST_NAMED]) + more


def _score(
    number: int,
    folder: Path,
    loaded: tuple[Classifier, ModelSpec],
    data: Prepared,
    runtime: Runtime,
    bins: int,
) -> ScoredVersion:
    classifier, spec = loaded
    source = data.images("test", spec.preprocessing)
    with strict_float32():
        outputs = logits(runtime, classifier, source, f"version {number} on the test split")
    softmax = CalibratedSoftmax(spec.calibration)
    probabilities: NDArray[np.float64] = softmax(outputs.double()).numpy()
    scores = score(Predictions(probabilities, source.targets, bins), spec.classes)
    costs = {
        "latency_ms": latency_ms(runtime, classifier, source),
        "size_mb": size_mb(folder, spec.files),
    }
    recalls = {row["class"]: row["recall"] for row in scores.per_class if row["support"]}
    return ScoredVersion(
        number,
        spec.digest,
        probabilities,
        {**scores.summary, **costs},
        recalls,
        content=spec.content_digest,
        files={path.name: file_md5(path) for path in sorted(folder.iterdir()) if path.is_file()},
    )

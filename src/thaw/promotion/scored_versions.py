"""Score a candidate and the versions that it is compared with on the test split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.promotion.scoring import score_version
from thaw.registry.fetch import Version
from thaw.training.runtime import start

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from thaw.config.params import Params
    from thaw.data.prepared import Prepared
    from thaw.promotion.candidate import Candidate
    from thaw.promotion.references import References
    from thaw.promotion.scoring import ScoredVersion


@dataclass(frozen=True)
class ScoredVersions:
    """The candidate and the versions to compare with, scored on the test split.

    ``targets`` (N,) are those of the test split. ``bins`` is the number of bins for the
    calibration error.
    """

    challenger: ScoredVersion
    others: list[ScoredVersion]
    targets: NDArray[np.int64]
    bins: int

    @property
    def champion(self) -> ScoredVersion | None:
        """The version that has the alias; None if none has it."""
        return self.others[0] if self.others else None


def score_versions(
    params: Params,
    candidate: Candidate,
    references: References,
    data: Prepared,
    device: torch.device | None,
) -> ScoredVersions:
    """Score all versions as they are served: in one process, in float32.

    Raises:
        ThawError: the files of the candidate were changed, or are not a model of thaw.
    """
    launch = params.launch.of_verb().model_copy(update={"precision": "fp32"})
    runtime = start(launch, params.resources, device)
    bins = params.evaluate.calibration_bins
    challenger, *others = (
        score_version(
            Version(candidate.ledger.name, number),
            data,
            runtime,
            bins,
            must_load=number == candidate.version,
        )
        for number in (candidate.version, *references.versions)
    )
    targets = data.manifest.targets[data.manifest.ids("test")]
    return ScoredVersions(challenger, [references.as_decided(one) for one in others], targets, bins)

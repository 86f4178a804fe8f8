"""What `/metrics` tells Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

if TYPE_CHECKING:
    from thaw.serving.model_reloading import Model

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class Meters:
    """The service's counters, in a registry of their own: a process may have several services."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        to = self.registry
        self.requests = Counter("thaw_requests", "Requests answered", ["status"], registry=to)
        self.seconds = Histogram(
            "thaw_request_seconds", "Time to an answer", buckets=_SECONDS, registry=to
        )
        self.forward = Histogram(
            "thaw_forward_seconds", "Time of a forward pass", buckets=_SECONDS, registry=to
        )
        self.batch = Histogram(
            "thaw_batch_images", "Images in a forward pass", buckets=_BATCHES, registry=to
        )
        self.waiting = Gauge(
            "thaw_waiting_images", "Images read, decoded or computed now", registry=to
        )
        self.predicted = Counter(
            "thaw_predicted", "Images by predicted class", ["label"], registry=to
        )
        self.drift = Gauge(
            "thaw_drift", "0: as the training images; 1: a standard deviation off", registry=to
        )
        self.drift_images = Gauge(
            "thaw_drift_images", "Images that thaw_drift is over", registry=to
        )
        self.reloads = Counter("thaw_reloads", "Models that took over", registry=to)
        self.failures = Counter(
            "thaw_reload_failures", "Models that could not take over", registry=to
        )
        self.model = Info("thaw_model", "The model that answers", registry=to)

    def serve(self, model: Model) -> None:
        """``model`` answers from now on."""
        self.model.info({"name": model.name, "digest": model.digest})
        self.drift.set(float("nan"))
        self.drift_images.set(0)

    def drifted(self, model: Model) -> None:
        """Show the drift score of what ``model`` saw."""
        drift = model.predictor.drift
        if drift is not None:
            self.drift_images.set(drift.images)
            score = drift.score
            self.drift.set(float("nan") if score is None else score)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

"""Prometheus metrics of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

if TYPE_CHECKING:
    from thaw.serving.served_model import ServedModel

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class ServiceMetrics:
    """Counters and gauges in a registry of their own, because one process may run two services."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "thaw_requests", "Requests to /predict, by status", ["status"], registry=registry
        )
        self.request_seconds = Histogram(
            "thaw_request_seconds",
            "Seconds from a request to /predict to its answer",
            buckets=_SECONDS,
            registry=registry,
        )
        self.forward_seconds = Histogram(
            "thaw_forward_seconds",
            "Seconds of a forward pass",
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_images = Histogram(
            "thaw_batch_images",
            "Images in a forward pass",
            buckets=_BATCH_SIZES,
            registry=registry,
        )
        self.waiting_images = Gauge(
            "thaw_waiting_images", "Images of the requests in progress", registry=registry
        )
        self.predicted = Counter(
            "thaw_predicted", "Images by predicted class", ["label"], registry=registry
        )
        self.drift = Gauge(
            "thaw_drift",
            "Drift score: 0 as the training images, 1 one standard deviation away",
            registry=registry,
        )
        self.drift_images = Gauge(
            "thaw_drift_images", "Images that the drift score covers", registry=registry
        )
        self.reloads = Counter(
            "thaw_reloads", "Times that a new model replaced the old one", registry=registry
        )
        self.reload_failures = Counter(
            "thaw_reload_failures", "Failed attempts to load a new model", registry=registry
        )
        self.model = Info("thaw_model", "The model that answers", registry=registry)

    def show_model(self, model: ServedModel) -> None:
        """Report ``model`` as the one that answers, and reset the drift score."""
        self.model.info({"name": model.name, "digest": model.digest})
        self.drift.set(float("nan"))
        self.drift_images.set(0)

    def update_drift(self, model: ServedModel) -> None:
        """Read the drift score of ``model``; it is NaN until there are enough images."""
        drift = model.predictor.drift
        if drift is not None:
            self.drift_images.set(drift.images)
            score = drift.score
            self.drift.set(float("nan") if score is None else score)

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)

"""Measure the machine while a stage works: processors, memory, disk, network, GPUs."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor


@contextlib.contextmanager
def measuring(seconds: float, publish: Callable[[Mapping[str, float]], None]) -> Iterator[None]:
    """Measure the machine in a thread while the context is open.

    It calls ``publish`` with the metrics every ``seconds``. A value is the sample from the start of
    the interval; the last, incomplete interval is not published. MLflow's own thread is not used:
    it stops at its first error, and its requests delay the end of the stage.
    """
    monitors, ends = _monitors(), threading.Event()

    def measure() -> None:
        while True:
            for monitor in monitors:
                monitor.collect_metrics()  # type: ignore[no-untyped-call]
            if ends.wait(seconds):
                return
            publish({name: value for monitor in monitors for name, value in _taken(monitor)})

    thread = threading.Thread(target=measure, name="system metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def _taken(monitor: BaseMetricsMonitor) -> list[tuple[str, float]]:
    values: dict[str, float] = monitor.aggregate_metrics()  # type: ignore[no-untyped-call]
    monitor.clear_metrics()  # type: ignore[no-untyped-call]
    return list(values.items())


def _monitors() -> list[BaseMetricsMonitor]:
    """Return the monitors of this machine, at most one of them for GPUs."""
    kinds: list[Callable[[], BaseMetricsMonitor]] = [CPUMonitor, DiskMonitor, NetworkMonitor]
    of_gpus: list[Callable[[], BaseMetricsMonitor]] = [GPUMonitor, ROCMMonitor]
    found = [kind() for kind in kinds]
    for kind in of_gpus:
        # Without a GPU or its library, the constructors raise errors of many types.
        with contextlib.suppress(Exception):
            return [*found, kind()]
    return found

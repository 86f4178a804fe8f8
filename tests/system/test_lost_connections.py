from __future__ import annotations

import pytest
import torch.distributed as dist

from thaw.system.lost_connections import lost_connection

CLOSED = (
    "[/__w/pytorch/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by "
    "peer [127.0.0.1]:6030. This is typically caused by a remote worker crashing. GLHF!"
)
LOST = {
    "gloo: closed": (RuntimeError(CLOSED), "Connection closed by peer [127.0.0.1]:6030"),
    "gloo: reset": (
        RuntimeError("[/gloo/transport/tcp/pair.cc:545] Read error [::1]:8: Connection reset"),
        "Read error [::1]:8: Connection reset",
    ),
    "gloo: timeout": (
        RuntimeError("[../gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms"),
        "Timed out waiting 1800000ms",
    ),
    "gloo: start": (
        RuntimeError("Gloo connectFullMesh failed with [/gloo/pair.cc:144] no error"),
        "Gloo connectFullMesh failed with",
    ),
    "barrier": (
        RuntimeError("[Rank 0]: Rank 1 failed to pass monitoredBarrier in 1000 ms\nOriginal: x"),
        "Rank 1 failed to pass monitoredBarrier in 1000 ms",
    ),
    "nccl": (
        dist.DistBackendError("NCCL error in: ProcessGroupNCCL.cpp:1, remote process exited"),
        "remote process exited",
    ),
    "network": (dist.DistNetworkError("The client socket has timed out"), "socket has timed out"),
    "store": (dist.DistStoreError("Socket Timeout"), "Socket Timeout"),
    "no text": (dist.DistStoreError(""), "no reason given"),
}


@pytest.mark.parametrize(("error", "said"), LOST.values(), ids=LOST)
def test_a_lost_connection_is_one_line_with_its_reason_and_the_next_command(
    error: Exception, said: str
) -> None:
    message = lost_connection(error)
    assert message is not None
    assert "\n" not in message
    assert said in message
    assert "`dvc repro`" in message
    assert "third_party" not in message
    assert len(message) < 500


def test_the_cause_of_another_error_is_found() -> None:
    error = ValueError("a metric")
    error.__cause__ = RuntimeError(CLOSED)
    assert lost_connection(error) == lost_connection(error.__cause__)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError(CLOSED),  # gloo raises no such error
        BrokenPipeError("Broken pipe"),  # of the standard output
        NotImplementedError("gloo"),
    ],
)
def test_another_error_is_none(error: Exception) -> None:
    assert lost_connection(error) is None

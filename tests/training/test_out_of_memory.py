from __future__ import annotations

import pytest
import torch

from thaw.training.out_of_memory import MemoryShortageError, is_out_of_memory, shortage_named


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 TB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ],
)
def test_errors_of_exhausted_memory_are_known(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_the_error_of_torchs_cpu_allocator_is_known() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory")])
def test_other_errors_are_not(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_a_shortage_gets_the_message_that_says_what_to_do() -> None:
    with pytest.raises(MemoryShortageError, match=r"^set less"), shortage_named("set less"):
        raise torch.OutOfMemoryError("CUDA out of memory.")
    with pytest.raises(ZeroDivisionError), shortage_named("set less"):
        raise ZeroDivisionError

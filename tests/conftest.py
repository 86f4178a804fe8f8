from __future__ import annotations

import pytest
import torch

from thaw.system import launching

# Tests work on tiny tensors: a second thread only waits, and on busy cores it waits long.
torch.set_num_threads(1)


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages' environment: a verb that misses it starts itself anew, and the tests with it."""
    for name, value in launching.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

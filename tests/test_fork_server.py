from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.fork_server import fork_server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_process_has_the_libraries_wherever_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    context = fork_server()
    found = context.SimpleQueue()
    process = context.Process(target=_has_libraries, args=(found,))
    process.start()
    assert found.get() == (True, os.fspath(tmp_path))
    process.join(60)
    assert process.exitcode == 0


def _has_libraries(found: Any) -> None:
    found.put(("mlflow.store.tracking.sqlalchemy_store" in sys.modules, os.getcwd()))  # noqa: PTH109

"""A server of processes for tests, which has imported what registers models and opens stores.

There is one for each test process, which all its tests use.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

ROOT = Path(__file__).parents[1]


def fork_server() -> ForkServerContext:
    """Return the context of processes that are forks of one in which no store is open."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.registration_libraries"])
    with contextlib.chdir(
        ROOT
    ):  # else the server does not find the package, and is silent about it
        ensure_running()
    return context

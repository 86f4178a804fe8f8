from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import torch

from tests.evaluation.page import example

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thaw.evaluation.page.subject import Subject


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """A scored model in a project that is the working directory."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("project")
    with contextlib.chdir(folder):
        yield example.subject(folder)

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tests import settings
from tests.search import project
from thaw.training.activation_cache import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.params import Params
    from thaw.search.trial_context import Ground
    from thaw.training.phase_inputs import PhaseInputs


@pytest.fixture
def params(params: Params) -> Params:
    return params.model_copy(update={"augment": settings.augment(rotate=6.0)})


def open_at(ground: Ground, params: Params, cut: int) -> PhaseInputs:
    return ground.inputs(ground.classifier(params), cut, params, params.augment)


def files() -> set[Path]:
    return set(FOLDER.glob("*.npy"))


def test_what_was_not_used_lately_is_closed(params: Params) -> None:
    """So that a file which the cache has removed gives its disk back."""
    ground = project.opened(params)
    plain = params.model_copy(update={"augment": settings.augment()})
    opened = [weakref.ref(open_at(ground, plain, 4))]
    opened += [weakref.ref(open_at(ground, params, cut)) for cut in (1, 2, 3)]
    assert all(each() is not None for each in opened)
    open_at(ground, plain, 4)  # used again
    open_at(ground, params, 4)
    assert [each() is not None for each in opened] == [True, False, True, True]


def test_what_is_used_again_is_not_the_next_to_go(params: Params) -> None:
    ground = project.opened(params)
    open_at(ground, params, 1)
    first = files()
    open_at(ground, params, 2)
    for path in files():
        os.utime(path, (1, 1))
    open_at(ground, params, 1)
    assert {path for path in files() if path.stat().st_mtime > 1} == first
    for path in first:
        path.unlink()
    open_at(ground, params, 1)  # what another process removed is still open here


@pytest.mark.parametrize(
    ("changes", "shared"),
    [({"depth": 1}, -1), ({"depth": 0}, 0), ({"depth": "auto"}, None), ({"blocks": [2]}, None)],
)
def test_copies_share_the_blocks_that_do_not_train_and_no_other(
    params: Params, changes: dict[str, Any], shared: int | None
) -> None:
    unfreeze = params.unfreeze.model_copy(update=changes)
    params = params.model_copy(update={"unfreeze": unfreeze})
    ground = project.opened(params)
    one, other = ground.classifier(params), ground.classifier(params)
    frozen = 0 if shared is None else len(one.blocks) + shared
    same = [left is right for left, right in zip(one.blocks, other.blocks, strict=True)]
    assert same == [index < frozen for index in range(len(same))]
    assert one.head is not other.head

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

import pytest
import torch

from tests import settings
from tests.search import project
from thaw.context import Phase
from thaw.data.loading import ActivationSource
from thaw.model.freeze_plan import last_blocks
from thaw.system.project_paths import ACTIVATIONS

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.params import Params
    from thaw.search.trial_context import TrialContext
    from thaw.training.phase_inputs import PhaseInputs


@pytest.fixture
def augmented(params: Params) -> Params:
    return params.model_copy(update={"augment": settings.augment(rotate=6.0)})


def open_at(shared: TrialContext, params: Params, cut: int) -> PhaseInputs:
    classifier = shared.backbones.new_classifier(params)
    blocks = len(classifier.blocks)
    plan = last_blocks(blocks - cut, blocks)
    phase = Phase(plan, params.unfreeze, shared.preprocessing(params), params.augment.fixed())
    return shared.open_inputs(shared.context_of(params), classifier, phase)


def files() -> set[Path]:
    return set(ACTIVATIONS.glob("*.npy"))


def test_the_least_recently_used_inputs_are_closed(augmented: Params, params: Params) -> None:
    # A file that the cache has removed frees its disk space only when it is closed.
    shared = project.opened(augmented)
    plain = params.model_copy(update={"augment": settings.augment()})
    opened = [weakref.ref(open_at(shared, plain, 4))]
    opened += [weakref.ref(open_at(shared, augmented, cut)) for cut in (1, 2, 3)]
    assert all(each() is not None for each in opened)
    open_at(shared, plain, 4)  # used again
    open_at(shared, augmented, 4)
    assert [each() is not None for each in opened] == [True, False, True, True]


def test_files_that_are_used_again_are_the_last_that_the_cache_removes(augmented: Params) -> None:
    shared = project.opened(augmented)
    open_at(shared, augmented, 1)
    first = files()
    open_at(shared, augmented, 2)
    for path in files():
        os.utime(path, (1, 1))
    open_at(shared, augmented, 1)
    assert {path for path in files() if path.stat().st_mtime > 1} == first
    for path in first:
        path.unlink()
    open_at(shared, augmented, 1)  # it is still open here


def test_a_device_keeps_the_activations_of_the_inputs_in_use_alone(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thaw.data.loading.free_bytes", lambda _: 10**12)  # as on a GPU
    plain = params.model_copy(update={"augment": settings.augment()})
    shared = project.opened(plain)
    kept = []
    for cut in (1, 2, 1):
        for source in (open_at(shared, plain, cut).train, open_at(shared, plain, cut).val):
            assert isinstance(source, ActivationSource)
            on_device = source.resident(torch.device("cpu"))
            assert on_device is not None
            kept.append(weakref.ref(on_device))
            del on_device
        assert [each() is not None for each in kept[-4:]] == [False, False, True, True][
            -len(kept) :
        ]


def test_with_mixed_images_nothing_is_cached(params: Params) -> None:
    mixed = params.model_copy(update={"augment": settings.augment(rotate=6.0, mixup=0.5)})
    assert open_at(project.opened(mixed), mixed, 2).cut == 0
    assert not files()

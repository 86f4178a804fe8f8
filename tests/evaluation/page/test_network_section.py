from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests import tiny
from tests.evaluation.page.test_thumbnails import decoded
from thaw.evaluation.page.network_section import (
    architecture,
    first_filters,
    network_section,
    picture_of_inputs,
    shift_by_layer,
)
from thaw.model import directory
from thaw.model.channel_statistics import expected
from thaw.model.classifier import Classifier
from thaw.model.drift import Reference

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.evaluation.page.subject import Subject


def test_the_facts_are_those_of_the_network(project: Subject) -> None:
    section = network_section(project)
    weights = sum(weight.numel() for weight in project.classifier.parameters())
    assert section["parameters"] == weights
    assert section["size_mb"] * 1e6 > 4 * weights
    assert section["latency_ms"] > 0
    assert section["blocks"] == len(project.classifier.blocks)
    assert architecture(project.spec) == "test_efficientnet"


def test_the_latency_is_that_of_float32_after_a_training_in_bf16(project: Subject) -> None:
    dtypes = set()
    with tiny.bf16_runtime() as runtime:
        subject = replace(project, runtime=runtime)
        head = subject.classifier.head
        hook = head.register_forward_hook(lambda *seen: dtypes.add(seen[-1].dtype))
        assert network_section(subject)["latency_ms"] > 0
        hook.remove()
    assert dtypes == {torch.float32}


def test_filters_of_the_first_layer_are_shown_with_their_own_scale() -> None:
    layer = nn.Conv2d(3, 2, 3)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, 0, 0] = 5.0
        layer.weight[1, 2, 2, 2] = -0.01
    found = first_filters(Classifier([layer], nn.Identity(), nn.Identity()))
    assert found is not None
    picture = np.asarray(decoded(found)).astype(int)
    assert abs(picture[2, 2, 0] - 255) <= 12
    assert picture[-2, -2, 2] <= 12
    assert abs(picture[picture.shape[0] // 2, 17, 1] - 128) <= 12


def test_the_picture_of_inputs_is_in_the_page_where_it_was_drawn(tmp_path: Path) -> None:
    path = tmp_path / "inputs.png"
    assert picture_of_inputs(path) is None
    Image.new("RGB", (3200, 900), "red").save(path)
    address = picture_of_inputs(path)
    assert address is not None
    assert decoded(address).size == (1600, 450)


def test_a_network_without_a_convolution_on_colours_has_no_filters() -> None:
    assert first_filters(Classifier([nn.Linear(3, 3)], nn.Identity(), nn.Identity())) is None
    grey = Classifier([nn.Conv2d(1, 2, 3)], nn.Identity(), nn.Identity())
    assert first_filters(grey) is None


def test_the_shift_of_a_layer_is_measured_in_its_standard_deviations(project: Subject) -> None:
    assert shift_by_layer(project) == []  # nothing was folded
    known = expected(project.classifier)
    name = list(known)[1]
    mean, std = known[name]
    seen = {key: (values[0].copy(), values[1].copy()) for key, values in known.items()}
    reference = Reference(seen | {name: (mean + 2 * std, std.copy())}, known)
    spec = project.spec
    directory.save(project.classifier, spec, project.folder, reference)
    changed = project.__class__(**{**project.__dict__, "spec": directory.read_spec(project.folder)})
    rows = shift_by_layer(changed)
    directory.save(project.classifier, spec, project.folder)
    assert [row["number"] for row in rows] == list(range(1, len(known) + 1))
    assert {row["layer"]: row["shift"] for row in rows}[name] == pytest.approx(2.0)
    assert sum(row["shift"] for row in rows) == pytest.approx(2.0)

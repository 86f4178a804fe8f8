from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests import settings, tiny
from tests.stages import small
from thaw.advice import label_predictions
from thaw.advice.label_predictions import predict_labels
from thaw.context import Context
from thaw.data import manifest
from thaw.data.manifest import Row
from thaw.data.pack_writer import PackWriter
from thaw.data.prepared import Prepared
from thaw.evaluation.page.likely_wrong import likely_wrong
from thaw.model import directory
from thaw.system import project_paths

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.literals import LinearFit

COLOURS = ((40, 60, 200), (40, 180, 60), (200, 40, 40))  # of blue, green, red
WRONG = 7  # an image with the label of the next class


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """Noise in three colours: 60 images for training, 12 for validation, 18 for the test."""
    monkeypatch.chdir(tmp_path)
    small.save_model(project_paths.MODELS / "warmup_head")
    generator = np.random.default_rng(0)
    splits = ["train"] * 60 + ["val"] * 12 + ["test"] * 18
    project_paths.PREPARED.mkdir(parents=True)
    rows = []
    with PackWriter(project_paths.PREPARED, settings.prepare(encoding="raw")) as store:
        for number, split in enumerate(splits):
            noise = generator.normal(0, 10, (16, 16, 3))
            store.add(np.clip(noise + COLOURS[number % 3], 0, 255).astype(np.uint8))
            label = small.CLASSES[(number + (number == WRONG)) % 3]
            rows.append(Row(number, f"{number}.png", str(number), label, split, 16, 16))
    manifest.write(rows, project_paths.PREPARED)
    return Context(settings.PARAMS, Prepared(project_paths.PREPARED), tiny.runtime())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["logistic", "svm", "lda"])
def test_each_training_and_validation_image_is_predicted_by_a_head_that_does_not_know_it(
    kind: LinearFit, context: Context
) -> None:
    classifier, spec = directory.load(project_paths.MODELS / "warmup_head")
    found = predict_labels(context, classifier, spec.preprocessing, kind)
    assert found is not None
    np.testing.assert_array_equal(np.sort(found.ids), np.arange(72))
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0)
    targets = context.data.manifest.targets[found.ids]
    colours = found.ids % 3
    # The wrong label is not learned: its image looks like one of another class.
    assert (found.probabilities.argmax(axis=1) == colours).mean() > 0.9
    suspects = likely_wrong(targets, found.probabilities)
    suggested = {int(found.ids[suspect.place]): suspect.suggested for suspect in suspects}
    assert suggested[WRONG] == WRONG % 3
    assert len(suggested) < 5


def test_a_sample_of_many_images_is_predicted(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_predictions, "_MOST", 30)
    classifier, spec = directory.load(project_paths.MODELS / "warmup_head")
    found = predict_labels(context, classifier, spec.preprocessing, "lda")
    assert found is not None
    assert len(found.ids) == len(set(found.ids)) == 30
    assert found.ids.max() < 72


@pytest.mark.slow
def test_a_seed_gives_the_same_predictions(context: Context) -> None:
    classifier, spec = directory.load(project_paths.MODELS / "warmup_head")
    both = [predict_labels(context, classifier, spec.preprocessing, "lda") for _ in range(2)]
    assert both[0] is not None
    assert both[1] is not None
    np.testing.assert_array_equal(both[0].probabilities, both[1].probabilities)

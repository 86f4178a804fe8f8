"""The gate scores a version in float32, whatever the device and the caller are set to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests import calibrated, tf32, tiny
from tests.promotion.offered import Shop
from thaw.data.prepared import Prepared
from thaw.model import directory
from thaw.promotion import scoring
from thaw.promotion.scoring import score_version
from thaw.registry.fetch import Version
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.training.runtime import Runtime

BINS = 15


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("project")
    made = Shop(folder, f"sqlite:///{folder}/mlruns/mlflow.db")
    made.register("scored")
    return made


def probabilities(shop: Shop, runtime: Runtime) -> NDArray[np.float64]:
    """Return the probabilities that the gate gets."""
    found = score_version(Version("scored", 1), Prepared(shop.prepared), runtime, BINS)
    assert not found.problem
    assert found.probabilities is not None
    return found.probabilities


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(calibrated.BOTH))
def test_a_version_is_scored_with_its_calibration(kind: str, shop: Shop) -> None:
    classifier, spec = directory.load(shop.folder / "good")
    source = shop.data.images("test", spec.preprocessing)
    outputs = logits(tiny.runtime(), classifier, source, "").double()
    folder = shop.folder / kind
    calibrated.save_calibrated(shop.folder / "good", folder, calibrated.BOTH[kind])
    shop.models[kind] = folder
    number = shop.register("scored", kind)
    found = score_version(Version("scored", number), shop.data, tiny.runtime(), BINS)
    expected = calibrated.mapped(outputs, calibrated.BOTH[kind])
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)


def test_in_simulated_tf32_the_probabilities_are_those_of_a_cpu(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = probabilities(shop, tiny.runtime())
    tf32.simulate(monkeypatch)
    np.testing.assert_array_equal(probabilities(shop, tiny.runtime()), expected)


def test_under_bf16_the_probabilities_are_those_without_it(shop: Shop) -> None:
    expected = probabilities(shop, tiny.runtime())
    with tiny.bf16_runtime() as runtime:
        np.testing.assert_array_equal(probabilities(shop, runtime), expected)


def test_a_version_of_other_classes_names_those_of_both_sides(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Prepared(shop.prepared)
    own = data.manifest.classes
    monkeypatch.setattr(data.manifest, "classes", ["ape", *own[1:]])
    found = score_version(Version("scored", 1), data, tiny.runtime(), BINS)
    assert (found.probabilities, found.has_other_classes) == (None, True)
    assert found.problem == (
        f"the data have other classes: it alone has {own[0]}, the data alone have ape"
    )
    monkeypatch.setattr(data.manifest, "classes", [*own, *(f"new {n}" for n in range(7))])
    found = score_version(Version("scored", 1), data, tiny.runtime(), BINS)
    assert found.problem.endswith(
        "the data alone have new 0, new 1, new 2, new 3, new 4 and 2 more"
    )


def test_a_version_whose_images_do_not_fit_into_memory_is_not_scored(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "total_memory", lambda: 1_000_000)
    found = score_version(Version("scored", 1), Prepared(shop.prepared), tiny.runtime(), BINS)
    assert found.probabilities is None
    assert found.problem.startswith("to score 128 images of 32 x 32 pixels at once takes about ")

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from thaw.evaluation import plots
from thaw.evaluation.scores import Scores, score
from thaw.metrics.predictions import Predictions
from thaw.system.pictures import write_figure
from thaw.training.history import EpochRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

LARGEST = 4000  # pixels a side that a browser still shows well


def names(count: int, *, long: bool) -> list[str]:
    # as long as those of ImageNet
    return [
        f"African hunting dog, hyena dog, type {i:02d}" if long else str(i) for i in range(count)
    ]


def scores(classes: Sequence[str], sharpness: float = 1.0) -> Scores:
    generator = np.random.default_rng(0)
    targets = np.arange(4 * len(classes)) % len(classes)
    probabilities = generator.dirichlet(np.full(len(classes), 0.3), len(targets))
    probabilities[np.arange(len(targets)), targets] += 0.3
    probabilities **= sharpness
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return score(Predictions(probabilities, targets, bins=15), classes)


def pixels(path: Path) -> NDArray[np.uint8]:
    """Return the picture in grey; it must be a PNG of sane size with something on it."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert 200 <= min(image.size) <= max(image.size) <= LARGEST
        grey = np.asarray(image.convert("L"))
    assert grey.std() > 1
    return grey


def assert_nothing_is_cut_off(path: Path) -> None:
    grey = pixels(path)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    assert border.min() == 255, f"{path.name}: something runs over the picture's edge"


def noise(image_id: int) -> NDArray[np.uint8]:
    shape = (60, 200, 3) if image_id % 2 else (8, 8, 3)
    return np.random.default_rng(image_id).integers(0, 255, shape, dtype=np.uint8)


def wrong(count: int, classes: Sequence[str]) -> list[tuple[int, str, str, float]]:
    last = len(classes)
    return [(i, classes[i % last], classes[(i + 1) % last], 0.5 + 0.004 * i) for i in range(count)]


def history(epochs: int, loss: float) -> list[EpochRow]:
    first = EpochRow(0, None, loss, 0.1, 0.0)
    return [
        first,
        *(EpochRow(e, loss / e, loss / e + 0.1, 0.9, 0.01) for e in range(1, epochs + 1)),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("long", [False, True], ids=["short names", "long names"])
@pytest.mark.parametrize("count", [2, 10, 60])
def test_the_confusion_matrix_shows_all_of_its_labels(
    count: int, long: bool, tmp_path: Path
) -> None:
    classes = names(count, long=long)
    path = tmp_path / "confusion.png"
    plots.confusion(scores(classes).confusion, classes, path)
    assert_nothing_is_cut_off(path)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Return the figures that are written."""
    figures: list[Figure] = []

    def write(figure: Figure, path: Path, **options: Any) -> None:
        write_figure(figure, path, **options)
        figures.append(figure)

    monkeypatch.setattr(plots, "write_figure", write)
    return figures


@pytest.mark.slow
@pytest.mark.parametrize(
    "classes",
    [
        ["x" * 12, "y" * 20],
        [*"abcdefgh", "a longer one", "z"],
        ["\u0451\u0436\u0438\u043a \u0438 \u043a\u043e\u0442", *"bcdefghij"],
        [f"class_{number:02d}" for number in range(21)],
        [str(number) for number in range(15)],
        pytest.param(names(100, long=True), marks=pytest.mark.slow),
    ],
    ids=lambda classes: f"{len(classes)} classes, {max(map(len, classes))} characters",
)
def test_names_beside_the_confusion_matrix_do_not_overlap(
    classes: list[str], drawn: list[Figure], tmp_path: Path
) -> None:
    plots.confusion(np.eye(len(classes), dtype=np.int64), classes, tmp_path / "confusion.png")
    axis = drawn[0].axes[0]
    for labels, side in ((axis.get_xticklabels(), 0), (axis.get_yticklabels()[::-1], 1)):
        assert len(labels) == len(classes)
        edges = [label.get_window_extent().get_points()[:, side] for label in labels]
        assert all(before[1] < after[0] for before, after in pairwise(edges))


@pytest.mark.slow
def test_the_confusion_matrix_of_very_many_classes_has_their_numbers(
    drawn: list[Figure], tmp_path: Path
) -> None:
    classes = names(101, long=True)
    plots.confusion(np.eye(101, dtype=np.int64), classes, tmp_path / "confusion.png")
    axis = drawn[0].axes[0]
    assert {"20", "40"} <= {label.get_text() for label in axis.get_yticklabels()}
    assert "per_class.csv" in axis.get_ylabel()


@pytest.mark.slow
def test_a_picture_of_some_classes_says_of_how_many(drawn: list[Figure], tmp_path: Path) -> None:
    rows = scores(names(61, long=False)).per_class
    plots.per_class(rows[:2], tmp_path / "all.png")
    plots.per_class(rows, tmp_path / "some.png")
    texts = [figure.axes[0].get_title() for figure in drawn]
    assert texts == ["", "The 60 of 61 classes with the lowest recall"]


@pytest.mark.slow
@pytest.mark.parametrize("long", [False, True], ids=["short names", "long names"])
@pytest.mark.parametrize("count", [2, 10, 60])
def test_the_scores_of_every_class_are_drawn(count: int, long: bool, tmp_path: Path) -> None:
    path = tmp_path / "per_class.png"
    plots.per_class(scores(names(count, long=long)).per_class, path)
    assert_nothing_is_cut_off(path)


@pytest.mark.slow
def test_the_reliability_curve_is_drawn(tmp_path: Path) -> None:
    found = scores(names(10, long=False))
    path = tmp_path / "calibration.png"
    plots.reliability(found, None, path)
    assert_nothing_is_cut_off(path)


@pytest.mark.slow
def test_the_reliability_curves_before_and_after_calibration_are_drawn(tmp_path: Path) -> None:
    classes = names(10, long=False)
    one, both = tmp_path / "one.png", tmp_path / "both.png"
    plots.reliability(scores(classes), None, one)
    plots.reliability(scores(classes), scores(classes, sharpness=3.0), both)
    assert_nothing_is_cut_off(both)
    colours = {tuple(pixel) for pixel in np.array(Image.open(both).convert("RGB")).reshape(-1, 3)}
    alone = {tuple(pixel) for pixel in np.array(Image.open(one).convert("RGB")).reshape(-1, 3)}
    assert tuple(to_rgb_bytes("C1")) in colours - alone


def test_a_reliability_curve_of_a_single_bin_is_drawn(tmp_path: Path) -> None:
    row = {"low": 0.9, "high": 1.0, "confidence": 1.0, "accuracy": 1.0, "images": 3.0}
    single = replace(scores(["a", "b"]), reliability=[row])
    plots.reliability(single, None, tmp_path / "calibration.png")
    assert_nothing_is_cut_off(tmp_path / "calibration.png")


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [0, 1, 20])
def test_learning_curves_are_drawn_for_any_number_of_epochs(epochs: int, tmp_path: Path) -> None:
    phases = {name: history(epochs, 2.0) for name in ("warmup_head", "unfreeze", "fold_bn")}
    kept = {name: rows[-1] for name, rows in phases.items()}
    plots.learning_curves(phases, kept, tmp_path / "curves.png")
    assert_nothing_is_cut_off(tmp_path / "curves.png")


@pytest.mark.slow
def test_the_kept_epoch_is_marked_even_if_another_one_has_a_lower_loss(tmp_path: Path) -> None:
    rows = history(3, 2.0)
    found = []
    for number, kept in enumerate((rows[0], rows[3])):
        path = tmp_path / f"{number}.png"
        plots.learning_curves({"unfreeze": rows}, {"unfreeze": kept}, path)
        red = np.all(np.array(Image.open(path).convert("RGB")) == to_rgb_bytes("C3"), axis=2)
        found.append(np.median(np.flatnonzero(red.any(axis=0))))
    assert found[0] < found[1]


def to_rgb_bytes(colour: str) -> list[int]:
    return [round(255 * share) for share in to_rgb(colour)]


@pytest.mark.slow
@pytest.mark.parametrize("long", [False, True], ids=["short names", "long names"])
@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_mistakes_are_drawn_with_their_labels(count: int, long: bool, tmp_path: Path) -> None:
    path = tmp_path / "mistakes.png"
    plots.mistakes(noise, wrong(count, names(10, long=long)), path)
    assert_nothing_is_cut_off(path)


@pytest.mark.slow
def test_only_the_most_confident_mistakes_are_read(tmp_path: Path) -> None:
    read = []

    def reading(image_id: int) -> NDArray[np.uint8]:
        read.append(image_id)
        return noise(image_id)

    plots.mistakes(reading, wrong(100, ["a", "b"]), tmp_path / "mistakes.png")
    assert read == list(range(99, 75, -1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["US$ or AU$", r"$\frac$", "a_b^c", "line\nbreak", "猫🐈"])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_any_class_name_can_be_drawn(name: str, tmp_path: Path) -> None:
    classes = [name, "b"]
    found = scores(classes)
    plots.confusion(found.confusion, classes, tmp_path / "confusion.png")
    plots.per_class(found.per_class, tmp_path / "per_class.png")
    plots.mistakes(noise, wrong(2, classes), tmp_path / "mistakes.png")
    assert sorted(path.stem for path in tmp_path.iterdir()) == [
        "confusion",
        "mistakes",
        "per_class",
    ]

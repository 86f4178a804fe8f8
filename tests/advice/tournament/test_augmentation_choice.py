from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.advice import project as small
from thaw.advice.tournament.augmentation_choice import choose_augmentation
from thaw.config.editing import write_values
from thaw.config.parameter_values import with_values
from thaw.data.packed_store import PackedStore
from thaw.stages import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

AUTO = {"augment.crop": "auto", "augment.flip": "auto"}


def write_images(draw: Callable[[int, NDArray[Any]], None]) -> None:
    """Write 40 noisy images of each of two classes, which ``draw`` changes by the class."""
    generator = np.random.default_rng(0)
    for label in range(2):
        folder = Path("images") / str(label)
        folder.mkdir(parents=True)
        for number in range(40):
            pixels = generator.integers(0, 100, (32, 32, 3)).astype(np.uint8)
            draw(label, pixels)
            Image.fromarray(pixels).save(folder / f"{number}.png")


def sides(label: int, pixels: NDArray[Any]) -> None:
    """Brighten the left or the right half: mirrored, an image is one of the other class."""
    half = slice(0, 16) if label else slice(16, 32)
    pixels[:, half] += 120


def colours(label: int, pixels: NDArray[Any]) -> None:
    """Colour the whole image: neither a crop nor a mirror image changes the class."""
    pixels[..., label * 2] += 120


def borders(label: int, pixels: NDArray[Any]) -> None:
    """Colour two pixels along the upper border, which most crops cut off."""
    pixels[:2, :, label * 2] += 150


class Eyes(torch.nn.Module):
    """A network of two logits: how bright a class's pixels are, where ``draw`` put them."""

    def __init__(self, draw: Callable[[int, NDArray[Any]], None]) -> None:
        super().__init__()
        masks = np.zeros((2, 32, 32, 3), dtype=np.uint8)
        for label in range(2):
            draw(label, masks[label])
        mask = torch.from_numpy(masks).permute(0, 3, 1, 2).float()
        self.register_buffer("mask", mask / mask.sum(dim=(1, 2, 3), keepdim=True))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 10 * torch.einsum("nchw,kchw->nk", images, self.get_buffer("mask"))


def chosen(
    draw: Callable[[int, NDArray[Any]], None], *, differs: bool = False, **values: Any
) -> dict[str, float]:
    """Return the choice for the images that are prepared, seen by :class:`Eyes`."""
    opened = small.open_model()
    params = with_values(opened.context.params, {**AUTO, **values})
    return choose_augmentation(
        replace(opened.context, params=params),
        Eyes(draw),  # type: ignore[arg-type]
        opened.spec.preprocessing,
        validation_differs=differs,
    )


@pytest.fixture
def choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, float]]:
    """Return a function that prepares images that ``draw`` made, and chooses for them."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    small.make(tmp_path)

    def choose(draw: Callable[[int, NDArray[Any]], None], **values: Any) -> dict[str, float]:
        shutil.rmtree("images")
        write_images(draw)
        write_values({"prepare.val_fraction": 0.4})
        prepare.main()
        return chosen(draw, **values)

    return choose


@pytest.mark.slow
def test_flips_are_off_where_a_mirror_image_has_another_meaning(
    choose: Callable[..., dict[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose(sides)["augment.flip"] == 0.0
    assert "augment.flip auto: 0.5 is not tolerated" in capsys.readouterr().err


def test_flips_and_crops_that_change_no_class_are_on(
    choose: Callable[..., dict[str, float]],
) -> None:
    assert choose(colours) == {"augment.crop": 0.45, "augment.flip": 0.5}


@pytest.mark.slow
def test_crops_are_smaller_or_off_where_the_ends_of_an_image_matter(
    choose: Callable[..., dict[str, float]],
) -> None:
    assert choose(borders)["augment.crop"] < 0.45


@pytest.mark.slow
def test_given_values_stay_and_are_not_measured(
    choose: Callable[..., dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose(sides, **{"augment.flip": 0.3}).keys() == {"augment.crop"}
    given = {"augment.flip": 0.3, "augment.crop": 0.1}
    assert choose(sides, differs=True, **given) == {}


@pytest.mark.slow
def test_light_colour_and_noise_change_where_validation_images_look_different(
    choose: Callable[..., dict[str, float]],
) -> None:
    found = choose(colours, differs=True, **{"augment.tint": 0.2})
    assert found["augment.noise"] == 0.1
    assert "augment.tint" not in found


@pytest.mark.slow
def test_no_image_of_another_split_is_read(
    choose: Callable[..., dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(colours)
    read: set[int] = set()
    original = PackedStore._content

    def recorded(store: PackedStore, image_id: int) -> object:
        read.add(image_id)
        return original(store, image_id)

    monkeypatch.setattr(PackedStore, "_content", recorded)
    chosen(colours)
    assert read == set(small.open_model().context.data.manifest.ids("val"))

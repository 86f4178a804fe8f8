"""The data sets of `make bench TARGETS=method`, chosen before any result on them was seen.

python -m benchmarks.datasets.registry    download and build all of them; count the images
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks import result_tables
from benchmarks.command_line import parser
from benchmarks.datasets import clipart, emoji, shifted_digits, sky, stamps
from thaw.data.split_names import SPLITS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Data:
    """A data set.

    ``folder`` gives its folder for a seed (None: thaw's own digits). ``image_size`` (pixels) is the
    size of inputs of all arms (None: they choose it). ``flip`` says whether fastai may mirror the
    images. A ``held_out`` set is never measured while something is tuned.
    """

    name: str
    folder: Callable[[int], Path] | None
    image_size: int | None
    flip: bool
    shows: str
    licence: str
    held_out: bool = False


DATA = (
    Data(
        "clipart-few",
        partial(clipart.dataset, "few"),
        None,
        flip=True,
        shows="clip art of 8 subjects, 30 training images a class",
        licence="public domain",
    ),
    Data(
        "clipart-all",
        partial(clipart.dataset, "all"),
        None,
        flip=True,
        shows="clip art of 8 subjects",
        licence="public domain",
    ),
    Data(
        "stamps",
        stamps.dataset,
        None,
        flip=True,
        shows="cut-out photographs and some drawings of 11 kinds of things",
        licence="GPL-2",
    ),
    Data(
        "emoji",
        emoji.dataset,
        None,
        flip=True,
        shows="emojis of 8 categories, trained on those of one vendor, tested on those of another",
        licence="Apache-2.0 (Google), CC-BY-4.0 (Twitter)",
    ),
    Data(
        "digits",
        None,
        64,
        flip=False,
        shows="handwritten digits of scikit-learn",
        licence="CC-BY-4.0",
    ),
    Data(
        "digits-shifted",
        shifted_digits.dataset,
        None,
        flip=False,
        shows="the digits; half of the validation and test images recoloured",
        licence="CC-BY-4.0",
    ),
    Data(
        "sky",
        sky.dataset,
        None,
        flip=True,
        shows="telescope photographs of 6 types of objects",
        licence="GPL-2+, CC-BY-SA and public domain, by image",
        held_out=True,
    ),
)


def main() -> None:
    """Build every set for seed 0 and print its numbers of images."""
    parser(__doc__).parse_args()
    rows = []
    for data in DATA:
        if data.folder is None:
            continue
        folder = data.folder(0)
        images = [len([*(folder / split).glob("*/*.png")]) for split in SPLITS]
        classes = len([*(folder / "train").iterdir()])
        rows.append([data.name, data.shows, str(classes), *map(str, images), data.licence])
    head = ["set", "shows", "classes", *SPLITS, "licence"]
    result_tables.markdown(head, rows, Console(width=110))


if __name__ == "__main__":
    main()

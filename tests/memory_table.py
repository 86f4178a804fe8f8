"""Peak memory and time of serve, predict and prepare for each file of a folder, as a table.

``MALLOC_ARENA_MAX=1 python -m tests.memory_table FOLDER`` reads every file below it as an image,
each one with all three. It ends with 1 if one of them takes 300 MB or more above the memory before
it. Seconds are those of the processor.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from tests import tiny
from tests.data.peak import rise
from tests.odd_parameters import SMALL
from tests.registry.served import image, model_directory
from tests.serving.service import running
from thaw.errors import ThawError
from thaw.serving.batch_prediction import predict_folder
from thaw.stages import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 300.0  # MB
_KINDS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".tif": "tiff", ".tiff": "tiff"}


@dataclass(frozen=True)
class Row:
    """The memory and time of one file in one of the three ways."""

    way: str
    file: str
    megabytes: float
    seconds: float
    answer: str

    def __str__(self) -> str:
        return (
            f"{self.way:8s} {self.megabytes:7.1f} MB {self.seconds:6.2f} s  {self.file}: "
            f"{self.answer[:90]}"
        )


def measured(files: list[Path], folder: Path) -> Iterator[Row]:
    """Yield a row for each of ``files`` in each way; ``folder`` is empty."""
    model_directory(folder / "model", max_megapixels=100.0)
    warm = folder / "warm.png"
    warm.write_bytes(image(0))
    with running(str(folder / "model")) as url:
        ways: dict[str, Callable[[Path], str]] = {
            "serve": lambda file: served(url, file),
            "predict": lambda file: predicted(file, folder),
            "prepare": lambda file: prepared(file, folder),
        }
        for way, call in ways.items():
            call(warm)  # imports and allocations that happen once
            for file in files:
                yield row(way, file, call)


def row(way: str, file: Path, call: Callable[[Path], str]) -> Row:
    """Return what ``call`` takes for ``file``."""
    answers: list[str] = []
    begun = time.process_time()
    megabytes = rise(lambda: answers.append(call(file)))
    return Row(
        way, str(file), megabytes, time.process_time() - begun, answers[0].replace("\n", " ")
    )


def served(url: str, file: Path) -> str:
    """Send the file to a service; return the status and the answer."""
    kind = f"image/{_KINDS.get(file.suffix.lower(), 'png')}"
    answer = requests.post(
        f"{url}/predict", data=file.read_bytes(), headers={"Content-Type": kind}, timeout=60
    )
    return f"{answer.status_code} {answer.text}"


def predicted(file: Path, folder: Path) -> str:
    """Predict a folder that holds the file; return the refusal."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        images = Path(place) / "images"
        images.mkdir()
        (images / f"file{file.suffix}").write_bytes(file.read_bytes())
        out = Path(place) / "out.csv"
        return said(lambda: predict_folder(str(folder / "model"), images, out).raise_problems())


def prepared(file: Path, folder: Path) -> str:
    """Run the stage prepare on images of which one is the file; return the refusal."""
    with tempfile.TemporaryDirectory(dir=folder) as place, contextlib.chdir(place):
        images = tiny.images(Path("photos"), each=4)
        (images / "red" / f"file{file.suffix}").write_bytes(file.read_bytes())
        Path("params.yaml").write_text(SMALL)
        return said(prepare.main)


def said(call: Callable[[], object]) -> str:
    """Return the refusal of ``call``, or "done"."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            call()
        except ThawError as error:
            return str(error)
    return "done"


def main() -> None:
    """Print a row for each file and way; exit with 1 if the memory of one is above the limit."""
    files = sorted(path for path in Path(sys.argv[1]).resolve().rglob("*") if path.is_file())
    above, rows = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for one in measured(files, Path(folder)):
            rows.append(one)
            above += one.megabytes >= LIMIT
            if one.megabytes >= LIMIT / 10 or one.seconds >= 1:
                print(one, flush=True)
    for way in ("serve", "predict", "prepare"):
        highest = max((one for one in rows if one.way == way), key=lambda one: one.megabytes)
        longest = max((one for one in rows if one.way == way), key=lambda one: one.seconds)
        print(f"{way}: {len(files)} files, highest and longest:\n  {highest}\n  {longest}")
    raise SystemExit(bool(above))


if __name__ == "__main__":
    main()

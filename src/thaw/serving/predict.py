"""A folder of images -> a CSV file of predictions; a killed run continues where it was."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from thaw.console import progress, say, warn
from thaw.data.decode import EXTENSIONS, DecodeError
from thaw.errors import ProblemsError, ThawError
from thaw.model.predictor import Predictor
from thaw.serving.located import located
from thaw.serving.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from torch import Tensor

BATCH = 32
_AHEAD = 3  # batches that are decoded while one is computed


@dataclass(frozen=True)
class Summary:
    """What a run came to; ``unreadable`` are (path, reason)."""

    computed: int
    unreadable: list[tuple[str, str]]
    drift: float | None


def predict_folder(model: str, folder: Path, out: Path, batch_size: int = BATCH) -> None:
    """Predict every image below ``folder`` into ``out``, and say what there was.

    Raises:
        ThawError: no such model or folder, or ``out`` holds something else.
        ProblemsError: some images cannot be read; all others are predicted.
    """
    paths, others = images_below(folder)
    with located(model) as found:
        predictor = Predictor(found.folder)
        owner = {"digest": predictor.spec.digest, "folder": str(folder.resolve())}
        with Results(out, owner, predictor.classes) as results:
            waiting = [path for path in paths if path not in results.done]
            if results.done:
                say(f"{out}: {len(results.done)} rows are there already, {len(waiting)} to go")
            summary = predict(predictor, folder, waiting, results, batch_size)
            about = {
                "complete": True,
                "model": found.name,
                "drift": summary.drift,
                "unreadable": dict(summary.unreadable),
            }
            results.describe(about)
    _tell(out, summary, others)


def predict(
    predictor: Predictor, folder: Path, paths: Sequence[str], results: Results, batch_size: int
) -> Summary:
    """Predict ``paths`` below ``folder``, in order; decoding goes on during the forward pass."""
    unreadable: list[tuple[str, str]] = []
    computed = 0
    names: list[str] = []
    inputs: list[Tensor] = []

    def flush() -> None:
        nonlocal computed
        results.add(names, predictor.forward(torch.cat(inputs), watch=True))
        computed += len(names)
        names.clear()
        inputs.clear()

    if predictor.drift:
        predictor.drift.spread(len(paths))
    reading = decoded(predictor, folder, paths, batch_size * _AHEAD)
    for path, image in progress(reading, "predicting", len(paths)):
        if isinstance(image, str):
            unreadable.append((path, image))
            continue
        names.append(path)
        inputs.append(image)
        if len(names) == batch_size:
            flush()
    if names:
        flush()
    return Summary(computed, unreadable, predictor.drift.score if predictor.drift else None)


def decoded(
    predictor: Predictor, folder: Path, paths: Iterable[str], ahead: int
) -> Iterator[tuple[str, Tensor | str]]:
    """(path, image or the reason why there is none), in order; at most ``ahead`` are waiting."""
    root = folder.resolve()
    waiting: deque[tuple[str, Future[Tensor | str]]] = deque()
    # Pillow lets go of the GIL; the resize of one image is too small to be worth two threads.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for path in paths:
                waiting.append((path, pool.submit(_read, predictor, root, path)))
                if len(waiting) >= ahead:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _read(predictor: Predictor, root: Path, path: str) -> Tensor | str:
    try:
        path.encode("utf-8")
        whole = (root / path).resolve()
        if not whole.is_relative_to(root):
            return "leads out of the folder"
        if not whole.is_file():
            return "not a file"
        return predictor.read(whole.read_bytes())
    except UnicodeEncodeError:
        return "the file's name is not valid UTF-8"
    except RuntimeError:
        return "a link to itself"
    except OSError as error:
        return error.strerror or str(error)
    except DecodeError as error:
        return str(error)


def images_below(folder: Path) -> tuple[list[str], int]:
    """The images below ``folder``, relative to it, sorted; and how many files are none by name.

    Hidden files and folders are not looked at.
    """
    if not folder.is_dir():
        raise ThawError(f"{folder} is not a folder")
    images, others = [], 0
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.startswith("."):
                continue
            if name.lower().endswith(EXTENSIONS):
                images.append(Path(parent, name).relative_to(folder).as_posix())
            else:
                others += 1
    if not images:
        raise ThawError(f"{folder} holds no image ({', '.join(EXTENSIONS)})")
    return sorted(images), others


def _tell(out: Path, summary: Summary, others: int) -> None:
    Console().print(f"{out}: {summary.computed} images predicted", highlight=False)
    if summary.drift is not None:
        say(f"drift: {summary.drift:.2f} (0: as the training images; 1: a standard deviation off)")
    if others:
        warn(f"{others} files were passed over: their names are not those of images")
    if summary.unreadable:
        raise ProblemsError(
            "some images could not be read, and have no row",
            [f"{path!r}: {reason}" for path, reason in summary.unreadable],
        )

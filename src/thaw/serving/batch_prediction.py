"""A folder of images -> a CSV file of predictions; a killed run continues where it was."""

from __future__ import annotations

import math
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from thaw.config import overlaps
from thaw.data.decoding import EXTENSIONS, DecodeError
from thaw.errors import ProblemsError, ThawError
from thaw.model.predictor import Predictor
from thaw.registry.names import PREFIX
from thaw.serving.model_uri import located
from thaw.serving.prediction_file import DRIFT, Results
from thaw.serving.runtimes import use
from thaw.system.console import progress, say, warn
from thaw.system.files import resolved
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from torch import Tensor

    from thaw.serving.runtimes import Runtime

BATCH = 32
_NOT_FINITE = "the model gave a probability that is not finite"


@dataclass(frozen=True)
class Summary:
    """What a run came to; ``failed`` are (path, reason), ``drift`` the score and its images."""

    computed: int
    failed: list[tuple[str, str]]
    drift: tuple[float, int] | None


@dataclass(frozen=True)
class Passed:
    """What was passed over: how many files are no images by name; (path, reason) of folders."""

    others: int
    folders: list[tuple[str, str]]


def predict_folder(
    model: str, folder: Path, out: Path, batch_size: int = BATCH, runtime: Runtime = "torch"
) -> None:
    """Predict every image below ``folder`` into ``out``, and say what there was.

    Raises:
        ThawError: no such model or folder, or ``out`` holds something else or is a bad place.
        ProblemsError: some images cannot be read; all others are predicted.
    """
    refuse_out(model, folder, out)
    paths, passed = images_below(folder)
    with located(model) as found:
        predictor = Predictor(found.folder)
        use(runtime, predictor, found.folder)
        owner = {"digest": predictor.spec.digest, "folder": str(folder.resolve())}
        with Results(out, owner, predictor.classes) as results:
            waiting = [path for path in paths if path not in results.done]
            if results.done:
                say(f"{out}: {len(results.done)} rows are there already, {len(waiting)} to go")
            summary = predict(predictor, folder, waiting, results, batch_size)
            unreadable = dict([*passed.folders, *summary.failed])
            about = {
                "complete": True,
                "model": found.name,
                "runtime": runtime,
                "unreadable": unreadable,
            }
            if summary.drift:
                about |= dict(zip(DRIFT, summary.drift, strict=True))
            results.describe(about)
    _tell(out, summary, passed)


def refuse_out(model: str, images: Path | None, out: Path) -> None:
    """Refuse an output that would change the model, or be read as an image of ``images``.

    Raises:
        ThawError: names the output and where it lies.
    """
    inputs = [] if model.startswith(PREFIX) else [("the model", Path(model))]
    if images is not None and out.name.lower().endswith(EXTENSIONS):
        inputs.append(("images", images))
    overlaps.refuse_output(out, "--out", inputs)


def predict(
    predictor: Predictor, folder: Path, paths: Sequence[str], results: Results, batch_size: int
) -> Summary:
    """Predict ``paths`` below ``folder``, in order: a core decodes and computes a batch by itself.

    A forward pass on all cores would wait at every layer for the one that decodes at that moment.
    """
    failed: list[tuple[str, str]] = []
    computed = 0
    if predictor.drift:
        predictor.drift.spread(len(paths))
    size = max(1, min(batch_size, -(-len(paths) // cores())))
    parts = [paths[start : start + size] for start in range(0, len(paths), size)]
    done = _in_order(partial(_compute, predictor, folder.resolve()), parts)
    for part in progress(done, "predicting", len(parts)):
        results.add(part.names, part.probabilities)
        failed += part.failed
        computed += len(part.names)
    return Summary(computed, failed, _drift(predictor))


@dataclass(frozen=True)
class _Part:
    """A batch: the probabilities (N, classes) of ``names``, and what failed with its reason."""

    names: list[str]
    probabilities: Tensor
    failed: list[tuple[str, str]]


def _compute(predictor: Predictor, root: Path, paths: Sequence[str]) -> _Part:
    read = [(path, read_below(root, predictor, path)) for path in paths]
    failed = [(path, image) for path, image in read if isinstance(image, str)]
    images = {path: image for path, image in read if not isinstance(image, str)}
    if not images:
        return _Part([], torch.empty(0, len(predictor.classes)), failed)
    probabilities = predictor.forward(torch.cat(list(images.values())), watch=True)
    finite = probabilities.isfinite().all(dim=1)
    failed += [(path, _NOT_FINITE) for path in compress(images, ~finite)]
    return _Part(list(compress(images, finite)), probabilities[finite], failed)


def _in_order(
    compute: Callable[[Sequence[str]], _Part], parts: Iterable[Sequence[str]]
) -> Iterator[_Part]:
    """The results of ``parts`` in their order, on all cores; few are ahead of what was taken."""
    waiting: deque[Future[_Part]] = deque()
    with ThreadPoolExecutor(cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(compute, part))
                if len(waiting) > 2 * cores():
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _drift(predictor: Predictor) -> tuple[float, int] | None:
    drift = predictor.drift
    score = drift.score if drift else None
    if drift is None or score is None or not math.isfinite(score):
        return None
    return score, drift.images


def read_below(root: Path, predictor: Predictor, path: str) -> Tensor | str:
    """The image at ``path`` below ``root``, which is resolved; or why there is none."""
    try:
        path.encode("utf-8")
        whole = resolved(root / path)
        if not whole.is_relative_to(root):
            return "leads out of the folder"
        if not whole.is_file():
            return "not a file"
        return predictor.read(whole.read_bytes())
    except UnicodeEncodeError:
        return "the file's name is not valid UTF-8"
    except OSError as error:
        return error.strerror or str(error)
    except DecodeError as error:
        return str(error)


def images_below(folder: Path) -> tuple[list[str], Passed]:
    """The images below ``folder``, relative to it, sorted; and what was passed over.

    Hidden files and folders are not looked at, links to folders not followed.

    Raises:
        ThawError: there is no image.
    """
    if not folder.is_dir():
        raise ThawError(f"{folder} is not a folder")
    images, others = [], 0
    lost: list[tuple[str, str]] = []

    def below(path: str | Path) -> str:
        return Path(path).relative_to(folder).as_posix()

    def unreadable(error: OSError) -> None:
        lost.append((below(error.filename), f"the folder cannot be read: {error.strerror}"))

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [Path(parent, name) for name in folders if Path(parent, name).is_symlink()]
        lost.extend((below(link), "a link to a folder is not followed") for link in links)
        for name in files:
            if name.startswith("."):
                continue
            if name.lower().endswith(EXTENSIONS):
                images.append(below(Path(parent, name)))
            else:
                others += 1
    if not images:
        nothing = f"{folder} holds no image ({', '.join(EXTENSIONS)})"
        raise ProblemsError(nothing, _listed(lost)) if lost else ThawError(nothing)
    return sorted(images), Passed(others, lost)


def _listed(lost: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{path!r}: {reason}" for path, reason in lost]


def _tell(out: Path, summary: Summary, passed: Passed) -> None:
    Console().print(f"{out}: {summary.computed} images predicted", highlight=False)
    if summary.drift is not None:
        score, images = summary.drift
        scale = "0: as the training images; 1: a standard deviation off"
        say(f"drift: {score:.2f} over {images} images ({scale})")
    if passed.others:
        warn(f"{passed.others} files were passed over: their names are not those of images")
    lost = [*passed.folders, *summary.failed]
    if lost:
        raise ProblemsError("some images could not be predicted, and have no row", _listed(lost))

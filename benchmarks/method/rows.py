"""Results of the comparison, one JSON object a line, and what of them is missing or out of date."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import PIL

from benchmarks.datasets.packages import CACHE
from benchmarks.datasets.registry import DATA
from thaw.system import tool_lock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.datasets.registry import Data

RESULTS = Path(__file__).parent.parent / "results" / "method.jsonl"
Row = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """A way to get a model.

    ``version`` is raised whenever the arm computes something else. The result of an arm that
    ``follows_thaw`` holds for the code of thaw's stages that made it.
    """

    name: str
    version: int = 1
    follows_thaw: bool = False


ARMS = (
    Arm("logistic", version=4),
    Arm("plain", version=2),
    Arm("fastai", version=2),
    Arm("auto", follows_thaw=True),
)
REFERENCE = "auto"


@dataclass(frozen=True)
class Job:
    """The missing arms of a data set and seed."""

    data: Data
    seed: int
    arms: Sequence[Arm]


def read(path: Path = RESULTS) -> list[Row]:
    """Return the newest row of each set, seed, arm and number of epochs."""
    newest: dict[tuple[Any, ...], Row] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            row = json.loads(line)
            newest[row["data"], row["seed"], row["arm"], row["epochs"]] = row
    return list(newest.values())


def append(job: Job, arm: Arm, epochs: int, scores: Row, path: Path = RESULTS) -> Row:
    """Add the scores of an arm to the results and return the whole row."""
    row = {
        "data": job.data.name,
        "seed": job.seed,
        "arm": arm.name,
        "epochs": epochs,
        **_identity(arm, job.data, job.seed),
        "pillow": PIL.__version__,  # which decoded the images of the set
        **scores,
    }
    with path.open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    return row


def missing(
    sets: Sequence[Data], arms: Sequence[Arm], seeds: Sequence[int], epochs: int, rows: list[Row]
) -> list[Job]:
    """Return what has no row, or one of other data, another version or other code."""
    found = {(row["data"], row["seed"], row["arm"], row["epochs"]): row for row in rows}
    jobs = []
    for seed in seeds:
        for data in sets:
            left = [
                arm
                for arm in arms
                if not _is_current(
                    found.get((data.name, seed, arm.name, epochs)), _identity(arm, data, seed)
                )
            ]
            if left:
                jobs.append(Job(data, seed, left))
    return jobs


def other_data(sets: Sequence[Data], seeds: Sequence[int], rows: list[Row]) -> str:
    """Return what to do about sets that differ from those that the rows were measured on; or ""."""
    lines = []
    for data in sets:
        for seed in seeds:
            found = [row for row in rows if (row["data"], row["seed"]) == (data.name, seed)]
            known = sorted({row["content"] for row in found})
            digest = _digest(data, seed)
            if found and digest not in known:
                lines.append(f"  {data.name}, seed {seed}: {digest}, rows: {', '.join(known)}")
    if not lines:
        return ""
    return "\n".join(
        [
            "these sets have other digests than those of the rows:",
            *lines,
            f"An older version of thaw may have decoded them: delete their folders in {CACHE} and "
            f"start again. If they differ then, thaw or Pillow ({PIL.__version__} here) decodes "
            f"images in another way than before. Then no old row of a set can be paired with a new "
            f"one: remove its rows from {RESULTS.name} to measure all arms again.",
        ]
    )


def selected(words: Sequence[str], *, held_out: bool) -> tuple[list[Data], list[Arm]]:
    """Return the sets and arms that ``words`` name; all where none is named.

    A held-out set is selected only with ``held_out``.

    Raises:
        ValueError: a word names no set and no arm, or a held-out set without ``held_out``.
    """
    sets = [data for data in DATA if held_out or not data.held_out]
    names = {*(data.name for data in sets), *(arm.name for arm in ARMS)}
    if unknown := [word for word in words if word not in names]:
        hidden = {data.name for data in DATA if data.held_out}
        if hidden.intersection(unknown):
            raise ValueError(
                f"{unknown[0]} is held out: `--held-out` measures that set, at the end"
            )
        raise ValueError(f"{', '.join(unknown)}: choose from {', '.join(sorted(names))}")
    return (
        [data for data in sets if data.name in words] or sets,
        [arm for arm in ARMS if arm.name in words] or list(ARMS),
    )


def _is_current(row: Row | None, identity: Row) -> bool:
    return row is not None and identity.items() <= row.items()


def _identity(arm: Arm, data: Data, seed: int) -> Row:
    """Return what a row depends on besides its set, seed, arm and epochs."""
    found: Row = {"version": arm.version, "content": _digest(data, seed)}
    if arm.follows_thaw:
        found["code"] = _hash(sorted(tool_lock.installed().stages.items()))
    return found


def _digest(data: Data, seed: int) -> str:
    """Return a digest of names and contents of a data set's files."""
    if data.folder is None:
        return ""
    folder = data.folder(seed)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return _hash(
        [(str(p.relative_to(folder)), hashlib.sha256(p.read_bytes()).hexdigest()) for p in files]
    )


def _hash(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

"""The predictions of a folder as they grow: a CSV file, and a JSON file that says whose they are.

A killed run leaves whole rows and perhaps a torn one; the next run drops that and goes on.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from thaw.errors import ThawError
from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from torch import Tensor

FEW = ("path", "label", "probability")
DRIFT = ("drift", "drift_images")  # in the JSON file: the score, and how many images it is over


class Results:
    """``path`` and, beside it, ``path.json``; a context manager that keeps the CSV file open.

    Raises:
        ThawError: the file that is there holds the predictions of another model or folder, or is
            none of thaw's.
    """

    def __init__(self, path: Path, owner: dict[str, Any], classes: Sequence[str]) -> None:
        self._path = path
        self._about = path.with_name(f"{path.name}.json")
        self._owner = owner
        self._classes = classes
        self._drift: dict[str, Any] = dict.fromkeys(DRIFT)
        self._columns = [*FEW, *(f"p_{label}" for label in classes)]
        self.done = self._resume()
        if not self.done:
            write_whole(path, _lines([self._columns]).encode())
        self.describe({"complete": False})

    def __enter__(self) -> Results:
        self._stream = self._path.open("a", newline="", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._stream.close()

    def add(self, paths: Sequence[str], probabilities: Tensor) -> None:
        """A row for each of ``paths``, from its probabilities (N, classes); on the disk at once.

        Raises:
            ThawError: the disk is full.
        """
        best = probabilities.max(dim=1)
        text = _lines(
            [path, self._classes[label], f"{top:.6g}", *(f"{value:.6g}" for value in row)]
            for path, label, top, row in zip(
                paths,
                best.indices.tolist(),
                best.values.tolist(),
                probabilities.tolist(),
                strict=True,
            )
        )
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            raise ThawError(
                f"{self._path}: could not be written: {error.strerror}; the same command continues"
            ) from error

    def describe(self, summary: dict[str, Any]) -> None:
        """Write the JSON file: whose predictions these are, and ``summary``.

        A drift score that an earlier run left stays where ``summary`` has none.
        """
        about = {**self._owner, **self._drift, **summary}
        content = json.dumps(about, indent=2, ensure_ascii=False)
        # a file's name that is no UTF-8 is kept as JSON's own escapes
        write_whole(self._about, f"{content}\n".encode(errors="backslashreplace"))

    def _resume(self) -> set[str]:
        """The paths that have a row."""
        if not self._path.exists():
            self._check_about()
            return set()
        self._check_owner()
        text = self._path.read_bytes().decode("utf-8", errors="replace")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        # A row is whole where its line is: a torn last number would still be a number.
        whole = [row for row in rows if len(row) == len(self._columns)]
        if whole and not text.endswith("\n"):
            whole = whole[: -1 if len(rows[-1]) == len(self._columns) else None]
        if whole[:1] != [self._columns]:
            self._check_torn(text)
            return set()
        if _lines(whole) != text:
            write_whole(self._path, _lines(whole).encode())
        return {row[0] for row in whole[1:]}

    def _check_about(self) -> None:
        """Raise if the JSON file, which would be replaced, is none of thaw's."""
        if not self._about.exists():
            return
        try:
            there = json.loads(self._about.read_text(encoding="utf-8"))
            known = {*self._owner, "complete"} <= set(there)
        except (OSError, ValueError, TypeError):
            known = False
        if not known:
            raise ThawError(
                f"{self._about} is there, but not of `thaw predict`, which would write it beside "
                f"{self._path.name}: give another --out"
            )

    def _check_torn(self, text: str) -> None:
        """Raise if ``text``, which would be replaced, is more than the start of a header."""
        if not _lines([self._columns]).startswith(text):
            raise ThawError(
                f"{self._path} has other columns than `thaw predict` writes: give another --out, "
                "or delete it"
            )

    def _check_owner(self) -> None:
        try:
            there = json.loads(self._about.read_text(encoding="utf-8"))
            differing = [key for key, value in self._owner.items() if there.get(key) != value]
        except (OSError, ValueError, AttributeError):
            raise ThawError(
                f"{self._path} is there, but not of `thaw predict` (it has no {self._about.name}): "
                "give another --out, or delete it"
            ) from None
        if differing:
            key = differing[0]
            raise ThawError(
                f"{self._path} holds the predictions of another {key} ({there.get(key)}, not "
                f"{self._owner[key]}): give another --out, or delete it and {self._about.name}"
            )
        self._drift |= {key: there.get(key) for key in DRIFT}


def _lines(rows: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()

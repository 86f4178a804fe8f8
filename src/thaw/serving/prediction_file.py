"""Write predictions to a CSV file, and to a JSON file beside it that describes them.

A killed run leaves complete rows and perhaps an incomplete last one. The next run removes the
incomplete row and continues in a new file, which replaces the old one: a link or hard link in its
place is replaced, and the file that it leads to stays as it is.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, TextIO

from thaw.errors import ThawError
from thaw.system.csv_text import csv_text
from thaw.system.files import write_whole
from thaw.system.storage_errors import write_failure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from torch import Tensor

FIRST_COLUMNS = ("path", "label", "probability")
DRIFT = ("drift", "drift_images")  # keys in the JSON file: the score, the images that it covers
PRECISION = "precision"  # files of earlier versions have this key only when they are complete


class PredictionFile:
    """The CSV file ``path`` and the JSON file ``path.json``; a context manager.

    ``owner`` identifies the predictions (model digest, folder, precision). ``done`` are the paths
    that have a row already.

    Raises:
        ThawError: ``path`` exists, and holds the predictions of another model, folder or precision,
            or was not written by ``thaw predict``.
    """

    def __init__(self, path: Path, owner: dict[str, Any], classes: Sequence[str]) -> None:
        self._path = path
        self._about = path.with_name(f"{path.name}.json")
        self._owner = owner
        self._classes = classes
        self._drift: dict[str, Any] = dict.fromkeys(DRIFT)
        self._stream: TextIO | None = None
        self._columns = [*FIRST_COLUMNS, *(f"p_{label}" for label in classes)]
        self._header = csv_text([self._columns]).encode()
        self.done = self._resume()
        # A CSV file without its JSON file would be one of another program.
        self.describe({"complete": False})
        if not self.done:
            write_whole(path, self._header)

    def __enter__(self) -> PredictionFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    def add(self, paths: Sequence[str], probabilities: Tensor) -> None:
        """Append a row for each of ``paths`` from its probabilities (N, classes), and flush.

        Raises:
            ThawError: the file cannot be written, for example because the disk is full.
        """
        best = probabilities.max(dim=1)
        text = csv_text(
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
            self._stream = self._stream or self._open()
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            raise ThawError(write_failure(self._path, error, "the next rows")) from error

    def _open(self) -> TextIO:
        """Return the stream of a copy that has replaced the file: other names keep the old one."""
        write_whole(self._path, self._path.read_bytes())
        return self._path.open("a", newline="", encoding="utf-8")

    def describe(self, summary: dict[str, Any]) -> None:
        """Write the JSON file from the owner and ``summary``.

        The drift score of an earlier run is kept if ``summary`` has none.
        """
        about = {**self._owner, **self._drift, **summary}
        content = json.dumps(about, indent=2, ensure_ascii=False)
        # a file name that is not UTF-8 is written with JSON's escapes
        write_whole(self._about, f"{content}\n".encode(errors="backslashreplace"))

    def _resume(self) -> set[str]:
        """Remove an incomplete last row; return the paths that have a row."""
        if not self._path.exists():
            self._check_about()
            return set()
        self._check_owner()
        text = self._path.read_bytes().decode("utf-8", errors="replace")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        # A row is complete only if its line ends: the first digits of a number are a number, too.
        complete = [row for row in rows if len(row) == len(self._columns)]
        if complete and not text.endswith("\n"):
            complete = complete[: -1 if len(rows[-1]) == len(self._columns) else None]
        if complete[:1] != [self._columns]:
            self._check_torn(text)
            return set()
        if csv_text(complete) != text:
            write_whole(self._path, csv_text(complete).encode())
        return {row[0] for row in complete[1:]}

    def _check_about(self) -> None:
        """Raise if the JSON file, which would be replaced, was not written by ``thaw predict``."""
        if not self._about.exists() and not self._about.is_symlink():
            return
        try:
            there = json.loads(self._about.read_text(encoding="utf-8"))
            known = {*self._owner, "complete"} - {PRECISION} <= set(there)
        except (OSError, ValueError, TypeError):
            known = False
        if not known:
            raise ThawError(
                f"{self._about} was not written by `thaw predict`, which would replace it for "
                f"{self._path.name}: give another --out"
            )

    def _check_torn(self, text: str) -> None:
        """Raise if ``text``, which would be replaced, is more than the start of a header."""
        if not csv_text([self._columns]).startswith(text):
            raise ThawError(
                f"{self._path} has other columns than `thaw predict` writes: give another --out, "
                "or delete it"
            )

    def _check_owner(self) -> None:
        if not self._about.exists() and self._path.read_bytes() == self._header:
            return  # an earlier version was interrupted before it wrote the JSON file
        try:
            there = json.loads(self._about.read_text(encoding="utf-8"))
            there = {PRECISION: self._owner.get(PRECISION)} | there
            differing = [key for key, value in self._owner.items() if there.get(key) != value]
        except (OSError, ValueError, AttributeError, TypeError):
            raise ThawError(
                f"{self._path} was not written by `thaw predict` (it has no {self._about.name}): "
                "give another --out, or delete it"
            ) from None
        if differing:
            key = differing[0]
            raise ThawError(
                f"{self._path} holds the predictions of another {key} ({there.get(key)}, not "
                f"{self._owner[key]}): give another --out, or delete it and {self._about.name}"
            )
        self._drift |= {key: there.get(key) for key in DRIFT}

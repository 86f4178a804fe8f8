"""Pictures are written to new files; the structure of the package keeps it so for all outputs."""

from __future__ import annotations

import ast
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from matplotlib.figure import Figure
from PIL import Image

import thaw
from thaw.system.pictures import write_figure, write_png

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = Path(thaw.__file__).parent
COMPUTING = ("stages", "tracking", "evaluation", "training", "model", "ingest", "data", "search")
# They unlink the old file first, and write the new one in parts, or very many files.
UNLINKING = {
    "ingest/packing_journal.py",
    "ingest/shard_files.py",
    "ingest/sources.py",
    "ingest/torchvision_sets.py",
}
LOGS = {"search/worker_pool.py", "tracking/spool.py"}  # append to a log, and to a spool file
IN_PLACE = {"write_text", "write_bytes", "tofile", "to_csv", "savefig", "save_file", "touch"}
BUFFERS = {"buffer", "index"}


def figure() -> Figure:
    drawn = Figure(figsize=(1, 1))
    drawn.subplots().plot([1, 2])
    return drawn


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_figure(figure(), path),
        lambda path: write_png(Image.new("L", (8, 8)), path),
    ],
    ids=["figure", "image"],
)
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to], ids=["symlink", "hard link"])
def test_a_link_is_replaced_and_its_target_stays(
    tmp_path: Path, write: Callable[[Path], None], link: Callable[[Path, Path], None]
) -> None:
    precious, path = tmp_path / "precious.png", tmp_path / "new/picture.png"
    precious.write_bytes(b"of the user")
    path.parent.mkdir()
    link(path, precious)
    write(path)
    assert precious.read_bytes() == b"of the user"
    assert Image.open(path).format == "PNG"


def test_a_figure_has_the_bytes_that_matplotlib_writes(tmp_path: Path) -> None:
    write_figure(figure(), tmp_path / "a.png", dpi=70)
    buffer = io.BytesIO()
    figure().savefig(buffer, dpi=70)
    assert (tmp_path / "a.png").read_bytes() == buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "start"), [("a.svg", b"<?xml"), ("a.pdf", b"%PDF"), ("a", b"\x89")]
)
def test_the_end_of_the_name_gives_the_format(tmp_path: Path, name: str, start: bytes) -> None:
    write_figure(figure(), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_modules_that_compute_write_files_only_through_the_modules_for_it() -> None:
    modules = [path for folder in COMPUTING for path in (PACKAGE / folder).rglob("*.py")]
    assert len(modules) > 50
    found = {
        f"{path.relative_to(PACKAGE).as_posix()}:{line}"
        for path in modules
        for line in _writes(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {each.partition(":")[0] for each in found} == UNLINKING | LOGS, found


def _writes(tree: ast.AST) -> Iterator[int]:
    """Yield the lines with calls that write to a path in place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _writes_in_place(node):
            yield node.lineno


def _writes_in_place(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name == "open":
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        modes = [value.value for value in values if isinstance(value, ast.Constant)]
        return any(isinstance(mode, str) and mode[:1] in {"w", "a", "x"} for mode in modes)
    if name == "save" and call.args and isinstance(call.func, ast.Attribute):
        is_own = ast.unparse(call.func.value) in {
            "directory",
            "self.checkpoints",
            "self._stored",
            "self._own",
        }
        target = call.args[0]
        return not is_own and not (isinstance(target, ast.Name) and target.id in BUFFERS)
    return name in IN_PLACE

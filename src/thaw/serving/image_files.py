"""Find and read the images below a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.config import overlaps
from thaw.data.decode_error import DecodeError
from thaw.data.decoding import EXTENSIONS
from thaw.data.ignored_names import ignored_folder
from thaw.data.large_files import unread_reason
from thaw.errors import ProblemsError, ThawError
from thaw.registry.names import PREFIX
from thaw.system.files import resolved
from thaw.system.writable_outputs import refuse_unwritable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from thaw.data.image_reader import ImageReader


@dataclass(frozen=True)
class FoundImages:
    """Images below a folder, and what was skipped there.

    ``paths`` are relative to the folder and sorted. ``other_files`` is the number of files whose
    names are not those of images. ``skipped_folders`` are pairs (path, reason). ``system_folders``
    are the paths of folders that systems and programs add, such as ``@eaDir``.
    """

    paths: list[str]
    other_files: int
    skipped_folders: list[tuple[str, str]]
    system_folders: list[str]


def find_images(folder: Path) -> FoundImages:
    """Find the images below ``folder`` by their names.

    Hidden files and folders, and folders of systems, are skipped. Links to folders are not
    followed.

    Raises:
        ThawError: ``folder`` is not a folder, or has no image.
    """
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise ThawError(f"{folder} {problem}: give a folder, whose images are all read")
    images: list[str] = []
    other_files = 0
    skipped: list[tuple[str, str]] = []
    of_systems: list[str] = []

    def relative(path: str | Path) -> str:
        return Path(path).relative_to(folder).as_posix()

    def skip_unreadable(error: OSError) -> None:
        skipped.append((relative(error.filename), f"the folder cannot be read: {error.strerror}"))

    for parent, folders, files in os.walk(folder, onerror=skip_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        ignored = [name for name in folders if ignored_folder(name, in_class=False)]
        of_systems.extend(relative(Path(parent, name)) for name in ignored)
        folders[:] = [name for name in folders if name not in ignored]
        links = [Path(parent, name) for name in folders if Path(parent, name).is_symlink()]
        skipped.extend((relative(link), "a link to a folder is not followed") for link in links)
        visible = [name for name in files if not name.startswith(".")]
        found = [name for name in visible if name.lower().endswith(EXTENSIONS)]
        images.extend(relative(Path(parent, name)) for name in found)
        other_files += len(visible) - len(found)
    if not images:
        reason = f"{folder} has no images ({', '.join(EXTENSIONS)}): give a folder that has some"
        raise ProblemsError(reason, problem_lines(skipped)) if skipped else ThawError(reason)
    return FoundImages(sorted(images), other_files, skipped, of_systems)


def read_image(root: Path, reader: ImageReader, path: str) -> Tensor | str:
    """Return the image at ``path`` below ``root`` as uint8 (1, 3, S, S), or why it has none.

    ``root`` must be resolved. Files outside of it are not read.
    """
    try:
        path.encode("utf-8")
        file = resolved(root / path)
        if not file.is_relative_to(root):
            return "leads out of the folder"
        if not file.is_file():
            return "not a file"
        if reason := unread_reason(file):
            return reason
        return reader.read(file.read_bytes())
    except UnicodeEncodeError:
        return "the file's name is not valid UTF-8"
    except OSError as error:
        return error.strerror or str(error)
    except DecodeError as error:
        return str(error)


def problem_lines(problems: Iterable[tuple[str, str]]) -> list[str]:
    """Return one line for each pair (path, reason)."""
    return [f"{path!r}: {reason}" for path, reason in problems]


def refuse_output(model_uri: str, images: Path | None, out: Path) -> None:
    """Refuse an output that would change the model, or be read as an image of ``images``.

    Raises:
        ThawError: ``out`` is such a path, and the message names both; or it is a folder.
    """
    overlaps.refuse_no_file(out, "--out")
    inputs = [] if model_uri.startswith(PREFIX) else [("the model", Path(model_uri))]
    if images is not None and out.name.lower().endswith(EXTENSIONS):
        inputs.append(("images", images))
    overlaps.refuse_output(out, "--out", inputs)
    refuse_unwritable(out, "--out")

"""``thaw init``: create a project for a set of images."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Template

from thaw import __version__
from thaw.config.data_sections import Data
from thaw.config.overlaps import overlap_of
from thaw.config.schema import SCHEMA_FILE, schema_text
from thaw.config.source_names import names_public_set
from thaw.errors import ThawError
from thaw.ingest.dvc_ignore import name_obstacles
from thaw.projects.first_commit import commit_new_files
from thaw.projects.image_survey import Survey, survey
from thaw.projects.initial_params import initial_params, model_name, params_text
from thaw.projects.linked_data import with_link
from thaw.projects.new_folder import (
    new_folder,
    refuse_nested,
    refuse_other_files,
    refuse_project,
    removed_on_failure,
)
from thaw.projects.packed_side import packed_side
from thaw.system import tool_lock
from thaw.system.files import write_whole
from thaw.system.path_texts import refuse_undecodable
from thaw.system.project_paths import PARAMS_FILE, PIPELINE, REPORTS, STORE, TOOL_LOCK
from thaw.system.stage_names import STAGES
from thaw.system.storage_errors import reason

if TYPE_CHECKING:
    from thaw.config.params import Params

IMAGES = Path("data/raw")
_KEPT = (Path("README.md"),)  # an existing one stays; of others the project needs its own
_DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n"


def create_project(folder: Path, images: Path | None, *, existing: bool = False) -> Survey | None:
    """Create a project in ``folder`` and return what was found about its images.

    ``images`` is a folder, a CSV file, a list of shards, or the name of a public data set, for
    which None is returned: it is downloaded later. Without it, images in ``data/raw`` of the
    project are used; if there are none, None is returned. ``existing`` allows a folder with other
    files. Without other files, those of the project are committed, if git knows the name of the
    user.

    Raises:
        ThawError: ``folder`` is a project already, is inside of one, or has other files; a file
            would be overwritten; the images cannot be used for a classifier (none, one class),
            or overlap with what the project writes; a path is not valid text. Nothing is written
            then.
    """
    refuse_undecodable(folder, "the folder of the project")
    refuse_project(folder)
    refuse_nested(folder)
    source = "folder"
    if is_public_set(images):
        source, images = str(images), None
    # Links stay: a path through a link may be the one that the user keeps.
    images = None if images is None else Path(os.path.abspath(images))  # noqa: PTH100
    try:
        with new_folder(folder), contextlib.chdir(folder):
            if not existing:
                refuse_other_files(Path.cwd(), images)
            found, made = _create(model_name(Path.cwd().name), _inside(images), source)
            if not existing:
                commit_new_files(made)
            return found
    except OSError as error:
        raise ThawError(
            f"{folder}: cannot create a project here: {reason(error)}; or choose another folder"
        ) from None


def is_public_set(images: Path | None) -> bool:
    """Return whether ``images`` is the name of a public data set, and no file."""
    return images is not None and names_public_set(str(images)) and not images.exists()


def template(file: str, /, **values: str) -> str:
    """Return the text of a file of a new project, with ``values`` filled in."""
    text = files("thaw.projects").joinpath("templates", file).read_text(encoding="utf-8")
    return Template(text, keep_trailing_newline=True).render(values) if values else text


def ignored_by_git(images: str = "") -> str:
    """Return the text of a project's ``.gitignore``; ``images`` are its lines for the images.

    The template has the lines for ``evaluate``, whose metrics git keeps.
    """
    reports = [f"/{REPORTS}/{stage}/" for stage in STAGES if stage != "evaluate"]
    return template("gitignore", images=images, reports="\n".join(reports))


def _create(name: str, images: Path | None, source: str) -> tuple[Survey | None, list[Path]]:
    """Write the project into the working directory; return what was found and the new paths."""
    if images is None and source == "folder" and _has_images(IMAGES):
        images = IMAGES
    found = None if images is None else survey(images)
    target = None
    if found:
        found.refuse_useless()
        _refuse_overlaps(initial_params(name, found.data))
        found, target = with_link(found, IMAGES)
    data = found.data if found else Data(source=source, path=str(IMAGES), root=str(IMAGES))
    params = initial_params(name, data)
    if found:
        packed = packed_side(params, found)
        params = initial_params(name, data, packed.pixels)
        found = replace(found, notes=[*found.notes, *filter(None, [packed.note])])
    _refuse_overlaps(params)
    texts = _texts(name, Path(data.root), params_text(params))
    if target is not None:
        del texts[IMAGES / "README.md"]  # it would be written into the folder of the user
    there = [path for path in texts if path.exists()]
    if conflicts := [str(path) for path in there if path not in _KEPT]:
        raise ThawError(
            f"{Path.cwd()} has {', '.join(conflicts)} already, and nothing is overwritten: choose "
            "another folder, or rename it"
        )
    made = (Path(".git"), Path(".dvc"), TOOL_LOCK, IMAGES, *texts)
    with removed_on_failure(made):
        _initialize_repositories()
        for path, text in texts.items():
            if path not in there:
                write_whole(path, text.encode())
        if target is not None:
            IMAGES.parent.mkdir(parents=True, exist_ok=True)
            IMAGES.symlink_to(target)
        if found:
            name_obstacles(data)
        tool_lock.write(tool_lock.installed())
    link = [] if target is None else [IMAGES]
    return found, [Path(".dvc"), TOOL_LOCK, *link, *texts]


def _texts(name: str, root: Path, params: str) -> dict[Path, str]:
    """Return the text of each file of a new project."""
    is_own = not root.is_absolute() and not root.is_file()  # a list of shards belongs to git
    ignored = f"/{root.as_posix()}/*\n!/{root.as_posix()}/README.md" if is_own else ""
    texts = {
        PARAMS_FILE: params,
        Path(SCHEMA_FILE): schema_text(),
        PIPELINE: template("dvc.yaml.template"),
        Path(".gitignore"): ignored_by_git(ignored),
        Path(".dvcignore"): template("dvcignore"),
        Path("README.md"): template("README.md.jinja", name=name, version=__version__),
        STORE / "README.md": template("mlruns_readme.md"),
    }
    if root == IMAGES and not IMAGES.exists():
        texts[IMAGES / "README.md"] = template("images_readme.md")
    return texts


def _refuse_overlaps(params: Params) -> None:
    """Raise if the images overlap with files that the project writes.

    Raises:
        ThawError: names both paths.
    """
    for path in (params.data.path, params.data.root):
        if overlap := overlap_of(Path(path), params):
            if Path.cwd().is_relative_to(Path(path).resolve()):
                overlap = f"the new project, whose stages write files, would be in {path}"
            raise ThawError(
                f"--images: {overlap}: choose another DIR, or move the images to a folder "
                f"of their own, for example {IMAGES} in the project, and give that"
            )


def _inside(images: Path | None) -> Path | None:
    """Return the path of the images relative to the project, if they are in it."""
    if images is None:
        return None
    here = Path.cwd()
    return images.relative_to(here) if images.is_relative_to(here) else images


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and any(path.is_dir() for path in folder.iterdir())


def _initialize_repositories() -> None:
    """Make the working directory a git repository, if it is none, and a DVC repository.

    Raises:
        ThawError: git or DVC fails.
    """
    if not Path(".git").exists():
        _run(["git", "init", "--quiet"])
    _run([sys.executable, "-P", "-m", "dvc", "init", "--quiet"])
    Path(".dvcignore").unlink(missing_ok=True)  # of DVC; the one of the project follows
    write_whole(Path(".dvc/config"), _DVC_CONFIG.encode())


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise ThawError(
            f"{command[0]} is not installed, and a project needs it: install it, then run "
            "the same command"
        ) from None
    except subprocess.CalledProcessError as error:
        raise ThawError(f"`{' '.join(command)}` failed: {_failure(error)}") from None


def _failure(error: subprocess.CalledProcessError) -> str:
    """Return the last line that the command printed, or its exit code and the free space."""
    if lines := error.stderr.strip().splitlines():
        return str(lines[-1])
    free = shutil.disk_usage(Path.cwd()).free
    return f"exit code {error.returncode} (the disk of {Path.cwd()} has {free:,} free bytes)"

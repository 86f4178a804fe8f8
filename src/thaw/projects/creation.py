"""``thaw init``: create a project for a set of images."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from jinja2 import Template

from thaw import __version__
from thaw.config.data_sections import Data
from thaw.config.loading import PARAMS_FILE
from thaw.config.overlaps import refuse_overlaps
from thaw.config.schema import SCHEMA_FILE, schema_text
from thaw.errors import ThawError
from thaw.projects.image_survey import Survey, survey
from thaw.projects.initial_params import initial_params, model_name, params_text
from thaw.system import tool_lock
from thaw.system.files import write_whole

IMAGES = Path("data/raw")
_MARKS = (PARAMS_FILE, Path("dvc.yaml"), tool_lock.LOCK, Path(".dvc"))
_KEPT = (Path("README.md"),)  # an existing one stays; of others the project needs its own
_DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n"


def create_project(folder: Path, images: Path | None) -> Survey | None:
    """Create a project in ``folder`` and return what was found about its images.

    ``images`` is a folder or a CSV file. Without it, images in ``data/raw`` of the project are
    used; if there are none, None is returned.

    Raises:
        ThawError: ``folder`` is a project already, a file would be overwritten, there are no such
            images, or they overlap with what the project writes. Nothing is written then.
    """
    _refuse_project(folder)
    images = None if images is None else Path(os.path.abspath(images))  # noqa: PTH100  (links stay)
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.chdir(folder):
            return _create(model_name(Path.cwd().name), _inside(images))
    except OSError as error:
        raise ThawError(f"{folder}: cannot create a project here: {error.strerror}") from None
    finally:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()  # it is empty if the project was refused


def template(file: str, /, **values: str) -> str:
    """Return the text of a file of a new project, with ``values`` filled in."""
    text = files("thaw.projects").joinpath("templates", file).read_text(encoding="utf-8")
    return Template(text, keep_trailing_newline=True).render(values) if values else text


def _create(name: str, images: Path | None) -> Survey | None:
    """Write the project into the working directory."""
    if images is None and _has_images(IMAGES):
        images = IMAGES
    found = None if images is None else survey(images)
    data = found.data if found else Data(source="folder", path=str(IMAGES), root=str(IMAGES))
    params = initial_params(name, data, found)
    refuse_overlaps(params)
    texts = _texts(name, Path(data.root), params_text(params))
    there = [path for path in texts if path.exists()]
    if conflicts := [str(path) for path in there if path not in _KEPT]:
        raise ThawError(
            f"{Path.cwd()} has {', '.join(conflicts)} already, and nothing is overwritten: choose "
            "another folder, or rename it"
        )
    _initialize_repositories()
    for path, text in texts.items():
        if path in there:
            continue
        write_whole(path, text.encode())
    tool_lock.write(tool_lock.installed())
    return found


def _texts(name: str, root: Path, params: str) -> dict[Path, str]:
    """Return the text of each file of a new project."""
    ignored = "" if root.is_absolute() else f"/{root.as_posix()}/*\n!/{root.as_posix()}/README.md"
    texts = {
        PARAMS_FILE: params,
        Path(SCHEMA_FILE): schema_text(),
        Path("dvc.yaml"): template("dvc.yaml.template"),
        Path(".gitignore"): template("gitignore", images=ignored),
        Path(".dvcignore"): template("dvcignore"),
        Path("README.md"): template("README.md.jinja", name=name, version=__version__),
        Path("mlruns/README.md"): template("mlruns_readme.md"),
    }
    if root == IMAGES and not IMAGES.exists():
        texts[IMAGES / "README.md"] = template("images_readme.md")
    return texts


def _refuse_project(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ThawError(f"{folder} is not a folder")
    if marks := [str(path) for path in _MARKS if (folder / path).exists()]:
        raise ThawError(
            f"{folder} is a project already (it has {', '.join(marks)}): choose another folder, "
            "or run `thaw upgrade` in it"
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
        raise ThawError(f"{command[0]} is not installed: a project needs it") from None
    except subprocess.CalledProcessError as error:
        raise ThawError(f"`{' '.join(command)}` failed: {error.stderr.strip()}") from None

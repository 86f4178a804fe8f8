"""Images outside of a project that DVC cannot read as they are: a link in the project to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.ingest.dvc_obstacles import find_obstacles
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from thaw.projects.image_survey import Survey


def with_link(found: Survey, link: Path) -> tuple[Survey, Path | None]:
    """Return what was found with the images below ``link``, and the folder to link to.

    Without entries that DVC cannot read, or inside of the project, nothing changes and there is no
    link: ``.dvcignore``, which names such entries, has no effect outside of the project.
    """
    root = Path(found.data.root)
    if not root.is_absolute() or link.exists():
        return found, None
    count = len(find_obstacles(root))
    if not count:
        return found, None
    is_folder = found.data.path == found.data.root
    paths = {"root": str(link), **({"path": str(link)} if is_folder else {})}
    entries = quantity(count, "entry", "entries")
    note = (
        f"{link} is a link to {root}, which has {entries} that DVC cannot read: .dvcignore "
        "names them, and it has no effect outside of the project"
    )
    data = found.data.model_copy(update=paths)
    return replace(found, data=data, notes=[*found.notes, note]), root

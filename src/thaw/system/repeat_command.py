"""The command that runs one stage again, and what it is for in a message.

`dvc repro --force STAGE` would run all stages before it again, too, and train for hours.
"""

from __future__ import annotations

from thaw.system.project_paths import REGISTERED, REPORTS


def repeat_command(stage: str) -> str:
    """Return the command that runs ``stage`` alone again, although nothing has changed."""
    return f"dvc repro --single-item --force {stage}"


def registering() -> str:
    """Return what logs and registers the result of the project, new or not, for a message.

    A result can exist without its run and its version: the store was deleted, ``tracking.uri``
    names another one, or the project is a clone whose outputs come from a DVC remote. `dvc repro`
    has nothing to do then. Where there is no result, a training may run here or elsewhere.
    """
    if (REPORTS / "evaluate" / REGISTERED).is_file():
        return f"`{repeat_command('evaluate')}` registers the result of this project in it"
    return (
        "`dvc repro` registers a model when its last stage ends; if a training runs, here or on "
        "another machine, wait for it"
    )

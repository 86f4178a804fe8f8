"""``thaw upgrade``: write ``thaw.lock`` for the installed tool."""

from __future__ import annotations

from thaw.system import tool_lock
from thaw.system.console import say
from thaw.system.stage_names import STAGES


def upgrade(*, is_dry: bool) -> None:
    """Write ``thaw.lock`` in the working directory and say which stages run again.

    Nothing is written if ``is_dry``.
    """
    before, after = tool_lock.read(), tool_lock.installed()
    locked = before.stages if before else {}
    changed = [stage for stage in STAGES if locked.get(stage) != after.stages[stage]]
    if not is_dry and before != after:
        tool_lock.write(after)
    verb = "would change" if is_dry else "changed"
    if changed:
        say(f"{tool_lock.LOCK}: the code {verb} of: {', '.join(changed)}; `dvc repro` runs them")
    else:
        say(f"{tool_lock.LOCK}: no stage has other code than before")

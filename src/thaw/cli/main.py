"""The command ``thaw``: an interrupt is one line from here on, also while modules are imported."""

from thaw.system.garbage_collection import collect_seldom
from thaw.system.interrupts import end_at_signals


def main() -> None:
    """Run the command line."""
    end_at_signals(is_verb=True)
    collect_seldom()
    from thaw.cli.app import run  # after the line above: it imports for about a second

    run()

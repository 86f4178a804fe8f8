from __future__ import annotations

import subprocess
import sys

COLLECTIONS_OF_IMPORTS = """
import gc
from thaw.system.garbage_collection import collect_as_usual, collect_seldom

usual, before = gc.get_threshold(), gc.get_stats()[2]["collections"]
collect_seldom()
import optuna
print(gc.get_stats()[2]["collections"] - before)
collect_as_usual()
print(gc.get_threshold() == usual, gc.get_freeze_count() > 50_000)
circle = []
circle.append(circle)
del circle
print(gc.collect())
"""


def test_no_module_is_walked_through_while_others_are_imported_and_later_garbage_is_found() -> None:
    command = [sys.executable, "-c", COLLECTIONS_OF_IMPORTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    collections, restored, found = done.stdout.splitlines()
    assert collections == "0"
    assert restored == "True True"
    assert int(found) >= 1

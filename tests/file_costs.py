"""The test files that take longest, so that several processes (``-n``) start with them.

Processor seconds of all their processes, measured on a busy machine with two cores; only the order
matters. ``make test`` prints its 40 slowest tests: enter a new file that takes more than 15 s.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent
SECONDS = {
    "test_golden.py": 110,
    "test_kill.py": 90,
    "browser/test_documentation_site.py": 60,
    "test_foreign_files.py": 55,
    "search/test_search.py": 52,
    "test_json_of_verbs.py": 45,
    "test_surroundings.py": 42,
    "test_modes.py": 40,
    "training/test_sharding.py": 37,
    "test_registered_once.py": 35,
    "stages/test_prepare.py": 28,
    "registry/test_killed_registration.py": 25,
    "test_full_disk.py": 25,
    "training/test_compilation.py": 25,
    "system/test_launching.py": 25,
    "registry/test_ledger_store.py": 24,
    "serving/test_export.py": 24,
    "promotion/test_promote.py": 22,
    "projects/test_upgrade.py": 22,
    "config/test_overlaps.py": 21,
    "stages/test_output_links.py": 20,
    "projects/test_repair.py": 20,
    "training/test_cached_activations.py": 18,
    "test_damaged_files.py": 18,
    "benchmarks/gpu/test_main.py": 17,
    "registry/test_register.py": 17,
    "registry/test_ledger.py": 16,
    "promotion/test_references.py": 16,
    "tracking/test_live_run.py": 15,
    "data/test_limits.py": 15,
}


def cost(path: Path) -> int:
    """Return the processor seconds of a test file, 0 for one that is not listed."""
    return SECONDS.get(path.relative_to(ROOT).as_posix(), 0) if ROOT in path.parents else 0

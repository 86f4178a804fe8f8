"""The test files that take longest, so that several processes (``-n``) start with them.

Seconds by the clock in a whole run on two cores that did nothing else; only the order matters.
``make test`` prints its 40 slowest tests: enter a new file that takes more than 10 s.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent
SECONDS = {
    "test_golden.py": 112,
    "tracking/test_store_reasons.py": 68,
    "test_interrupted_pipeline.py": 80,
    "test_kill.py": 10,
    "search/test_search.py": 57,
    "test_modes.py": 44,
    "projects/test_repair.py": 39,
    "serving/test_export.py": 36,
    "training/test_sharding.py": 35,
    "system/test_launching.py": 32,
    "test_json_of_verbs.py": 31,
    "test_registered_once.py": 28,
    "stages/test_prepare.py": 28,
    "tracking/test_live_run.py": 28,
    "projects/test_upgrade.py": 26,
    "tracking/test_result_run.py": 25,
    "registry/test_killed_registration.py": 24,
    "promotion/test_promote.py": 24,
    "registry/test_ledger_store.py": 22,
    "test_calibrated_outputs.py": 22,
    "training/test_cached_activations.py": 21,
    "config/test_overlaps.py": 20,
    "test_full_disk.py": 18,
    "cli/test_registry_commands.py": 15,
    "training/test_loop.py": 15,
    "promotion/test_references.py": 14,
    "data/test_decoding_memory.py": 14,
    "registry/test_register.py": 13,
    "data/test_limits.py": 13,
    "promotion/test_lost_champion.py": 13,
    "registry/test_hostile_artifacts.py": 13,
    "test_surroundings.py": 12,
    "promotion/test_gate_data.py": 12,
    "stages/test_stage_imports.py": 12,
    "registry/test_ledger.py": 11,
    "ingest/test_shard_source.py": 11,
    "projects/test_creation.py": 11,
    "promotion/test_report_storage.py": 11,
    "promotion/test_rollback.py": 11,
    "serving/test_runtimes.py": 11,
    "system/test_deferred_compiler.py": 11,
    "benchmarks/gpu/test_main.py": 10,
    "config/test_output_folders.py": 10,
    "evaluation/test_plots.py": 10,
}


def cost(path: Path) -> int:
    """Return the seconds of a test file, 0 for one that is not listed."""
    return SECONDS.get(path.relative_to(ROOT).as_posix(), 0) if ROOT in path.parents else 0

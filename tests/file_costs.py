"""The test files that take longest, so that several processes (``-n``) start with them.

Seconds by the clock in a whole run of three processes on two cores that did nothing else. Only the
order matters. ``make test`` prints its 40 slowest tests: enter new files of more than 10 s.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent
SECONDS = {
    "test_golden.py": 224,
    "test_interrupted_pipeline.py": 148,
    "registry/test_killed_registration.py": 106,
    "test_modes.py": 84,
    "search/test_search.py": 72,
    "test_json_of_verbs.py": 66,
    "training/test_sharding.py": 52,
    "test_registered_once.py": 50,
    "serving/test_export.py": 50,
    "system/test_launching.py": 50,
    "promotion/test_promote.py": 41,
    "projects/test_upgrade.py": 41,
    "stages/test_prepare.py": 41,
    "tracking/test_result_run.py": 37,
    "projects/test_repair.py": 33,
    "config/test_overlaps.py": 30,
    "test_full_disk.py": 29,
    "tracking/test_live_run.py": 28,
    "training/test_cached_activations.py": 26,
    "registry/test_ledger_store.py": 25,
    "promotion/test_references.py": 24,
    "training/test_loop.py": 23,
    "serving/test_hub.py": 22,
    "cli/test_registry_commands.py": 22,
    "promotion/test_lost_champion.py": 22,
    "data/test_decoding_memory.py": 21,
    "serving/test_runtimes.py": 20,
    "system/test_deferred_compiler.py": 20,
    "test_damaged_files.py": 20,
    "ingest/test_shard_source.py": 20,
    "registry/test_register.py": 20,
    "benchmarks/gpu/test_main.py": 19,
    "promotion/test_gate_data.py": 19,
    "evaluation/test_plots.py": 19,
    "promotion/test_report_storage.py": 19,
    "registry/test_ledger.py": 18,
    "data/test_limits.py": 18,
    "stages/test_stage_imports.py": 18,
    "promotion/test_rollback.py": 18,
    "projects/test_creation.py": 18,
    "advice/test_verbs.py": 15,
    "registry/test_hostile_artifacts.py": 15,
    "test_end_to_end.py": 14,
    "projects/test_pipeline_check.py": 14,
    "model/test_zoo.py": 13,
    "registry/test_doubtful_rows.py": 12,
    "config/test_output_folders.py": 12,
    "promotion/test_origin.py": 11,
    "test_surroundings.py": 11,
    "search/test_worker.py": 11,
    "search/test_trial_queue.py": 11,
    "serving/test_connections.py": 11,
    "promotion/test_paired_tests.py": 11,
    "advice/tournament/test_head_choice.py": 11,
    "system/test_environment.py": 11,
    "test_calibrated_outputs.py": 10,
    "stages/test_output_links.py": 10,
}


def cost(path: Path) -> int:
    """Return the seconds of a test file, 0 for one that is not listed."""
    return SECONDS.get(path.relative_to(ROOT).as_posix(), 0) if ROOT in path.parents else 0

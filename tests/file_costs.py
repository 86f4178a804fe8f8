"""The test files that take longest, so that several processes (``-n``) start with them.

Seconds by the clock in a whole run of three processes on two cores that did nothing else, less what
was measured to be saved in five files since. Only the order matters. ``make test`` prints its 40
slowest tests: enter new files of more than 10 s.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent
SECONDS = {
    "test_golden.py": 345,
    "test_interrupted_pipeline.py": 175,
    "projects/test_upgrade.py": 99,
    "test_modes.py": 96,
    "training/test_sharding.py": 86,
    "search/test_search.py": 73,
    "serving/test_export.py": 72,
    "promotion/test_promote.py": 54,
    "config/test_overlaps.py": 52,
    "training/test_loop.py": 52,
    "test_json_of_verbs.py": 50,
    "system/test_launching.py": 47,
    "tracking/test_result_run.py": 46,
    "test_registered_once.py": 37,
    "projects/test_repair.py": 34,
    "tracking/test_live_run.py": 33,
    "formats/test_registered_models.py": 32,
    "test_full_disk.py": 31,
    "registry/test_ledger_store.py": 30,
    "promotion/test_references.py": 29,
    "registry/test_killed_registration.py": 28,
    "registry/test_register.py": 27,
    "cli/test_registry_commands.py": 26,
    "stages/test_prepare.py": 25,
    "evaluation/test_plots.py": 24,
    "ingest/test_shard_source.py": 24,
    "serving/test_runtimes.py": 23,
    "data/test_decoding_memory.py": 22,
    "serving/test_hub.py": 22,
    "projects/test_creation.py": 22,
    "promotion/test_report_storage.py": 21,
    "promotion/test_lost_champion.py": 21,
    "test_damaged_files.py": 19,
    "promotion/test_rollback.py": 18,
    "promotion/test_origin.py": 17,
    "projects/test_pipeline_check.py": 17,
    "model/test_zoo.py": 15,
    "system/test_deferred_compiler.py": 15,
    "search/test_worker.py": 15,
    "serving/test_connections.py": 15,
    "test_surroundings.py": 14,
    "stages/test_stage_imports.py": 14,
    "advice/tournament/test_head_choice.py": 14,
    "data/test_limits.py": 14,
    "test_end_to_end.py": 14,
    "registry/test_doubtful_rows.py": 13,
    "search/test_trial_queue.py": 13,
    "registry/test_ledger.py": 13,
    "advice/tournament/test_head_tournament.py": 12,
    "advice/test_verbs.py": 12,
    "test_calibrated_outputs.py": 12,
    "registry/test_hostile_artifacts.py": 12,
    "stages/test_evaluate.py": 11,
    "metrics/test_registry.py": 11,
    "cli/test_project.py": 10,
    "serving/test_batch_prediction.py": 10,
    "benchmarks/gpu/test_main.py": 10,
    "registry/test_artifact_check.py": 10,
    "tracking/test_store_failures.py": 10,
    "serving/test_loaded_model.py": 10,
}


def cost(path: Path) -> int:
    """Return the seconds of a test file, 0 for one that is not listed."""
    return SECONDS.get(path.relative_to(ROOT).as_posix(), 0) if ROOT in path.parents else 0

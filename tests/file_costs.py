"""The test files that take longest, so that several processes (``-n``) start with them.

Seconds by the clock in a whole run of three processes on two cores that did nothing else. Only the
order matters. ``make test`` prints its 40 slowest tests: enter new files of more than 10 s.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent
SECONDS = {
    "test_golden.py": 206,
    "test_interrupted_pipeline.py": 136,
    "projects/test_upgrade.py": 66,
    "search/test_search.py": 62,
    "test_modes.py": 57,
    "training/test_sharding.py": 56,
    "test_json_of_verbs.py": 55,
    "serving/test_export.py": 54,
    "config/test_overlaps.py": 48,
    "system/test_launching.py": 47,
    "test_registered_once.py": 46,
    "promotion/test_promote.py": 45,
    "tracking/test_result_run.py": 42,
    "test_full_disk.py": 36,
    "projects/test_repair.py": 34,
    "registry/test_killed_registration.py": 32,
    "registry/test_register.py": 29,
    "training/test_loop.py": 28,
    "tracking/test_live_run.py": 27,
    "cli/test_registry_commands.py": 27,
    "training/test_cached_activations.py": 26,
    "registry/test_ledger_store.py": 26,
    "serving/test_runtimes.py": 25,
    "promotion/test_report_storage.py": 24,
    "stages/test_prepare.py": 23,
    "promotion/test_lost_champion.py": 23,
    "system/test_deferred_compiler.py": 23,
    "projects/test_creation.py": 22,
    "serving/test_hub.py": 21,
    "registry/test_ledger.py": 21,
    "stages/test_stage_imports.py": 21,
    "advice/test_verbs.py": 20,
    "promotion/test_rollback.py": 20,
    "data/test_decoding_memory.py": 20,
    "evaluation/test_plots.py": 19,
    "promotion/test_references.py": 19,
    "benchmarks/gpu/test_main.py": 18,
    "projects/test_pipeline_check.py": 17,
    "data/test_limits.py": 17,
    "test_damaged_files.py": 17,
    "test_end_to_end.py": 16,
    "promotion/test_origin.py": 16,
    "model/test_zoo.py": 16,
    "advice/tournament/test_head_choice.py": 15,
    "ingest/test_shard_source.py": 15,
    "serving/test_connections.py": 14,
    "registry/test_hostile_artifacts.py": 14,
    "test_calibrated_outputs.py": 14,
    "registry/test_doubtful_rows.py": 14,
    "registry/test_copying.py": 14,
    "test_surroundings.py": 14,
    "search/test_worker.py": 13,
    "advice/tournament/test_head_tournament.py": 12,
    "promotion/test_gate_data.py": 12,
    "search/test_trial_queue.py": 11,
    "serving/test_batch_prediction.py": 11,
    "tracking/test_store_reasons.py": 10,
    "stages/test_evaluate.py": 10,
    "registry/test_artifact_check.py": 10,
    "cli/test_app.py": 10,
    "system/test_accelerate_launcher.py": 10,
    "system/test_environment.py": 10,
    "stages/test_output_links.py": 10,
}


def cost(path: Path) -> int:
    """Return the seconds of a test file, 0 for one that is not listed."""
    return SECONDS.get(path.relative_to(ROOT).as_posix(), 0) if ROOT in path.parents else 0

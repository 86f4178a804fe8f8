from __future__ import annotations

from thaw.system import project_paths


def test_all_paths_are_relative_to_the_folder_of_the_project() -> None:
    paths = (
        project_paths.PREPARED,
        project_paths.MODELS,
        project_paths.REPORTS,
        project_paths.SCRATCH,
    )
    assert not any(path.is_absolute() for path in paths)
    assert len(set(paths)) == len(paths)


def test_the_deployed_model_is_the_merged_form_of_the_last_training_stage() -> None:
    assert project_paths.DEPLOYED.as_posix() == "models/fold_bn/merged"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from thaw.config.process_sections import Launch
from thaw.errors import ThawError
from thaw.system import process_group as module
from thaw.system.process_group import (
    ProcessGroup,
    config_file,
    process_group,
    refuse_more_than_gpus,
)

if TYPE_CHECKING:
    from pathlib import Path

TWO_MACHINES = (
    "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nnum_machines: 2\n"
    "num_processes: 8\nmachine_rank: 1\nmain_process_ip: 10.0.0.1\nmain_process_port: 29500\n"
)


@pytest.mark.parametrize(("gpus", "processes"), [(0, 1), (1, 1), (4, 4)])
def test_auto_is_one_process_for_each_gpu(
    gpus: int, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "gpu_count", lambda: gpus)
    assert process_group(Launch(processes="auto")) == ProcessGroup(processes)
    assert process_group(Launch(processes=2)) == ProcessGroup(2)


@pytest.mark.parametrize("processes", ["auto", 8])
def test_a_file_of_accelerate_says_how_many_processes_run_on_how_many_machines(
    tmp_path: Path, processes: Any
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(TWO_MACHINES)
    group = process_group(Launch(processes=processes, config=str(path)))
    assert group == ProcessGroup(8, 2)
    assert group.on_this_machine == 4


def test_environment_variables_in_the_path_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cluster.yaml").write_text(TWO_MACHINES)
    monkeypatch.setenv("THE_FOLDER", str(tmp_path))
    for config in ("$THE_FOLDER/cluster.yaml", "${THE_FOLDER}/cluster.yaml"):
        assert process_group(Launch(processes="auto", config=config)) == ProcessGroup(8, 2)
        assert config_file(config) == str(tmp_path / "cluster.yaml")
    monkeypatch.delenv("THE_FOLDER")
    with pytest.raises(ThawError, match="the environment variable THE_FOLDER is not set"):
        process_group(Launch(processes="auto", config="$THE_FOLDER/cluster.yaml"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("MULTI_GPU", "FSDP"), "distributed_type is FSDP: thaw trains with NO or MULTI_GPU"),
        (("MULTI_GPU", "'NO'"), "distributed_type is NO, which starts one process"),
        (("num_processes: 8", "num_processes: 7"), "7, must be a multiple of num_machines, 2"),
        (("num_processes: 8", "num_processes: many"), "must be whole numbers above 0"),
        (("num_machines: 2", "num_machines: 0"), "must be whole numbers above 0"),
        (("machine_rank: 1", "use_cpu: true"), "use_cpu must be false"),
        (("num_machines: 2", "num_machines: ["), "is not valid YAML"),
        (("num_machines: 2", f"num_machines: {'[' * 999}"), "is not valid YAML"),
        ((TWO_MACHINES, "MULTI_GPU"), "must hold the keys of `accelerate config`"),
    ],
)
def test_a_file_that_would_train_otherwise_is_refused(
    tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(TWO_MACHINES.replace(*change))
    with pytest.raises(ThawError, match=rf"launch\.config: .*cluster\.yaml: .*{reason}"):
        process_group(Launch(processes="auto", config=str(path)))


def test_a_missing_file_and_another_number_of_processes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    with pytest.raises(ThawError, match="cannot be read: No such file"):
        process_group(Launch(config=str(path)))
    path.write_text(TWO_MACHINES)
    with pytest.raises(
        ThawError, match=r"processes is 4, but num_processes in .* is 8: set .*auto"
    ):
        process_group(Launch(processes=4, config=str(path)))


@pytest.mark.parametrize(
    ("processes", "machines", "fits"), [(1, 1, True), (2, 2, True), (4, 2, False), (2, 1, False)]
)
def test_processes_do_not_share_a_gpu(
    processes: int, machines: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "gpu_count", lambda: 1)
    group = ProcessGroup(processes, machines)
    if fits:
        refuse_more_than_gpus(group)
        return
    with pytest.raises(ThawError, match=r"launch\.processes: 2 processes on a machine with 1 GPU,"):
        refuse_more_than_gpus(group)

"""The environment of thaw's processes: nothing left over by other programs, no foreign modules."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

# Variables by which a launcher tells a process that it is one of several. thaw starts its own
# processes: a variable of another launcher would make a single one wait for the others for ever.
_NAMES = {
    "WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE",
    "ROLE_RANK", "ROLE_WORLD_SIZE", "ROLE_NAME", "NODE_RANK", "CROSS_RANK", "CROSS_SIZE",
    "LOCAL_SIZE", "MASTER_ADDR", "MASTER_PORT", "FORK_LAUNCHED", "XLA_USE_SPMD",
    "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", "SLURM_NPROCS", "SLURM_NODEID", "SLURM_NNODES",
}  # fmt: skip
# What MLflow would take for the experiment, run or model of this process: params.yaml names them.
_OF_MLFLOW = {
    "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "MLFLOW_ACTIVE_MODEL_ID",
    "_MLFLOW_ACTIVE_MODEL_ID",
}  # fmt: skip
# By which git tells its hooks the repository that they work for: the project may be in another one.
_OF_GIT = {
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE",
}  # fmt: skip
_PREFIXES = (
    "ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_", "TORCHELASTIC_", "OMPI_", "PMI_",
    "PMIX_", "MPI_", "MV2_", "MPICH_", "I_MPI_", "HYDI_", "CCL_WORKER_", "TE_", "MSAMP_",
)  # fmt: skip
SAFE_PATH = "PYTHONSAFEPATH"
_WARNINGS = "PYTHONWARNINGS"


def launcher_variables(names: Iterable[str]) -> list[str]:
    """Return those of ``names`` by which a launcher describes a group of processes."""
    return sorted(name for name in names if name in _NAMES or name.startswith(_PREFIXES))


def clean(environment: MutableMapping[str, str] = os.environ) -> None:
    """Remove variables of other programs, and keep modules of the working directory out.

    With ``PYTHONSAFEPATH``, a file of the project such as ``random.py`` hides no module of the
    standard library, in this process's children and in theirs. Plots are files, so a backend of
    matplotlib for windows or notebooks is not used. Warnings of libraries do not become errors.
    """
    others = (_OF_MLFLOW | _OF_GIT) & environment.keys()
    for name in [*launcher_variables(environment), *others]:
        del environment[name]
    environment[SAFE_PATH] = "1"
    environment["MPLBACKEND"] = "agg"
    if "error" in environment.get(_WARNINGS, ""):
        del environment[_WARNINGS]
        # Python has read the variable already; the filters that it has by default are wanted.
        warnings.filters[:] = [each for each in warnings.filters if each[0] != "error"]  # type: ignore[index]

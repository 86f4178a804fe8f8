"""The sections ``launch`` and ``resources`` of ``params.yaml``.

``launch`` can change a result, so the stages depend on it. ``resources`` cannot.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from thaw.config.parameter import parameter
from thaw.config.section import AutoOnOff, AutoOrOff, Section
from thaw.literals import PrecisionName

CompileSetting = AutoOnOff
PrecisionSetting = Literal["auto", PrecisionName]


class Launch(Section):
    """Processes of a stage."""

    processes: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = parameter(
        1,
        "Training processes, one per device; several on a CPU communicate through gloo. auto is "
        "one for each GPU that is visible.",
    )
    threads: Annotated[int, Field(ge=0, le=1024)] = parameter(
        0, "CPU threads per process; 0 divides the cores among the processes."
    )
    precision: PrecisionSetting = parameter(
        "auto",
        "Precision of training. auto is bf16 on a GPU that supports it, else fp32; tf32 and fp16 "
        "require a GPU.",
        source="Micikevicius et al. 2018; Kalamkar et al. 2019",
    )
    accumulate: Annotated[int, Field(ge=1, le=65_536)] | Literal["auto"] = parameter(
        1,
        "Parts in which a process computes its images of a step, one after the other; their "
        "gradients are added. auto takes as few as fit into the memory of the device.",
        unit="parts",
    )
    compile: CompileSetting = parameter(
        "auto",
        "Compile the blocks that train. auto measures on a GPU whether the training repays the "
        "compiler, and is off on a CPU.",
        source="Ansel et al. 2024 (PyTorch 2)",
    )
    shard: Literal["off", "on"] = parameter(
        "off",
        "Divide weights, gradients and optimiser state among the processes (FSDP2), for a "
        "backbone that does not fit into one device. Needs several processes.",
        source="Zhao et al. 2023; Rajbhandari et al. 2020 (ZeRO)",
    )
    config: str = parameter(
        "",
        "Configuration file of Accelerate for several machines (number, rank, address); empty for "
        "one machine. $NAME is replaced by the environment variable NAME.",
    )

    def of_verb(self) -> Launch:
        """Return the settings of a verb, which runs in one process."""
        return self.model_copy(update={"processes": 1, "config": "", "shard": "off"})

    def of_worker(self) -> Launch:
        """Return the settings of a worker of a search: on one machine, ``auto`` is one process."""
        processes = 1 if self.processes == "auto" else self.processes
        shard = "off" if processes == 1 else self.shard
        return self.model_copy(update={"processes": processes, "config": "", "shard": shard})


class Resources(Section):
    """Memory, disk, loader processes and CUDA graphs; no value here changes a result."""

    workers: Annotated[int, Field(ge=0, le=256)] = parameter(
        0, "Loader processes per training process; 0 loads in the training process."
    )
    checkpoint_minutes: Annotated[float, Field(gt=0.0, le=10_000.0)] = parameter(
        5.0,
        "Time between checkpoints inside an epoch; each epoch ends with one in any case.",
        unit="minutes",
    )
    cache_gb: Annotated[float, Field(ge=0.0, le=1_000_000.0)] = parameter(
        20.0,
        "Disk space for cached activations (.thaw/activations); the least recently used are "
        "deleted first.",
        unit="GB",
    )
    cuda_graphs: AutoOrOff = parameter(
        "auto",
        "Run the steps of a training in one process on a GPU as CUDA graphs, if a trial gives the "
        "same bits.",
    )

"""Identity of the MLflow run of a pipeline result: its key, parameters and origin."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thaw.config.loading import content_of, read_content
from thaw.config.parameter import parameters
from thaw.config.params import Params
from thaw.config.result_values import changed_text, result_digest, result_parameters, value_of
from thaw.errors import ThawError
from thaw.system import provenance
from thaw.system.code_digests import result_code_digest
from thaw.system.project_paths import PARAMS_FILE
from thaw.tracking.run_owner import PROCESS, this_process, user

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "thaw.key"
CHANGED = "thaw.changed"  # one column of the runs table: the values that differ from the defaults
EXPERIMENT_OF_DVC = "dvc.experiment"  # its name, if `dvc exp run` runs the stages
COMMIT, DIRTY = "mlflow.source.git.commit", "thaw.git_dirty"


@dataclass(frozen=True)
class RunIdentity:
    """Key, name, parameters and tags of a run, before MLflow knows it.

    ``experiment`` is the name of its experiment, ``started`` are milliseconds since 1970.
    """

    key: str
    experiment: str
    name: str
    started: int
    params: Mapping[str, str]
    tags: Mapping[str, str]


def identify(params: Params, data_digest: str) -> RunIdentity:
    """Return the identity of the run of these parameters, data and code."""
    key = provenance.key(result_digest(params), data_digest, result_code_digest())
    backbone = params.backbone.name.rsplit("/", 1)[-1]
    # MLflow shows tags in this order: first those that people read.
    tags = {
        CHANGED: changed_text(params, uncommitted_parameters()),
        **experiment_tags(),
        KEY: key,
        PROCESS: this_process(),
        "mlflow.source.name": "dvc.yaml",
        "mlflow.source.type": "PROJECT",
        "mlflow.user": user(),
        "thaw.data_digest": data_digest,
        "thaw.code_digest": result_code_digest(),
    }
    if state := provenance.git_state():
        tags[COMMIT] = state[0]
        tags[DIRTY] = str(state[1]).lower()
    return RunIdentity(
        key=key,
        experiment=params.tracking.experiment,
        name=f"{backbone}-depth{params.unfreeze.depth}-{key[:7]}",
        started=int(time.time() * 1000),
        params=result_parameters(params),
        tags=tags,
    )


def uncommitted_parameters() -> set[str]:
    """Return the keys of ``params.yaml`` whose values differ from those of the last commit.

    They are what an experiment varies (`dvc exp run -S`). None are named without a commit of the
    file.
    """
    committed = provenance.committed_text(PARAMS_FILE)
    if committed is None or not PARAMS_FILE.is_file():
        return set()
    try:
        then, now = content_of(committed, PARAMS_FILE), read_content(PARAMS_FILE)
    except ThawError:  # the committed file was no mapping
        return set()
    keys = [parameter.key for parameter in parameters(Params)]
    return {key for key in keys if _given(then, key) != _given(now, key)}


def _given(content: dict[str, Any], key: str) -> object:
    try:
        return value_of(content, key)
    except (KeyError, TypeError):
        return None


def experiment_tags() -> dict[str, str]:
    """Return the tag with the name of DVC's experiment that runs now, none outside of one."""
    name = os.environ.get("DVC_EXP_NAME")
    return {EXPERIMENT_OF_DVC: name} if name else {}

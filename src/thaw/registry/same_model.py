"""Find a version that computes the same as a new model, so that it is not registered again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mlflow
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from thaw.registry.aliases import aliases, is_missing
from thaw.registry.names import CHALLENGER, CHAMPION, CONTENT, DIGEST, GATE, TEST_DIGEST
from thaw.registry.register import Registered
from thaw.tracking.run_identity import DIRTY

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from thaw.registry.register import ModelRecord

SAME_AS = "thaw.same_as"  # tag of a run whose model was registered before


def find_same(name: str, record: ModelRecord) -> Registered | None:
    """Return the version of ``name`` that is the model of ``record``; None if there is none.

    It computes the same, and was scored on the same test images. The champion comes first, then the
    newest version. Versions of the active run do not count: its registration is continued. If the
    code of the active run is committed, a version whose code is not, or whose run was deleted, does
    not count either, because it cannot pass the gate. A version that is not the champion becomes
    the challenger again. The scores become metrics of the active run, as those of a registered
    model do.
    """
    client, run = MlflowClient(), mlflow.active_run()
    assert run is not None
    versions = [
        each
        for each in client.search_model_versions(f"name = '{name}'")
        if _is_same(each, record) and each.run_id != run.info.run_id
    ]
    if not versions:
        return None
    champion = aliases(client, name).get(CHAMPION)
    is_dirty = run.data.tags.get(DIRTY) != "false"
    found = [
        each
        for each in versions
        if int(each.version) == champion or is_dirty or _is_committed(client, each)
    ]
    if not found:
        return None
    best = max(found, key=lambda each: (int(each.version) == champion, int(each.version)))
    number = int(best.version)
    logged = client.get_run(run.info.run_id).data.metrics  # by an attempt that was killed
    missing = {key: value for key, value in record.metrics.items() if key not in logged}
    mlflow.log_metrics(missing, step=0)
    client.set_tag(run.info.run_id, SAME_AS, f"models:/{name}/{number}")
    if number == champion:
        return Registered(name, number, CHAMPION, is_new=False)
    client.set_registered_model_alias(name, CHALLENGER, str(number))
    verdict = best.tags.get(GATE, "")
    return Registered(name, number, CHALLENGER, is_new=False, verdict=verdict)


def _is_same(version: ModelVersion, record: ModelRecord) -> bool:
    tags = version.tags
    # Versions of earlier thaw have no digest of the content.
    is_same = record.content == tags.get(CONTENT) or record.digest == tags.get(DIGEST)
    is_ready = str(version.status) == "READY"
    return is_same and is_ready and tags.get(TEST_DIGEST) == record.test_digest


def _is_committed(client: MlflowClient, version: ModelVersion) -> bool:
    try:
        run = client.get_run(version.run_id or "")
    except MlflowException as error:
        if not is_missing(error):
            raise
        return False
    is_active = run.info.lifecycle_stage == LifecycleStage.ACTIVE
    return is_active and bool(run.data.tags.get(DIRTY) == "false")

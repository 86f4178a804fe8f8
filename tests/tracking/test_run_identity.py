from __future__ import annotations

import json
from dataclasses import asdict

from tests import settings
from thaw.tracking.run_identity import KEY, RunIdentity, identify


def test_the_key_depends_on_data_and_values_but_not_on_the_store() -> None:
    params = settings.PARAMS
    tracking = params.tracking.model_copy(update={"experiment": "other"})
    keys = {
        identify(params, "data").key,
        identify(params.model_copy(update={"tracking": tracking}), "data").key,
    }
    assert len(keys) == 1
    other_seed = params.model_copy(update={"seed": params.seed + 1})
    keys |= {identify(params, "other data").key, identify(other_seed, "data").key}
    assert len(keys) == 3


def test_an_identity_survives_a_file() -> None:
    identity = identify(settings.PARAMS, "data")
    assert RunIdentity(**json.loads(json.dumps(asdict(identity)))) == identity
    assert identity.tags[KEY] == identity.key
    assert identity.params["seed"] == str(settings.PARAMS.seed)

"""A small project that can be searched in seconds: LeNet-5 on three colours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import settings, tiny
from tests.project import ROOT
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.data.prepared import Prepared
from thaw.ingest.sources import list_folder
from thaw.search import storage, study, trial_context
from thaw.search.study_definition import Question
from thaw.stages import prepare

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

    from thaw.search.trial_context import Ground

PREPARED = Path("data/prepared")
SMALL: dict[str, Any] = {
    "data.source": "folder",
    "backbone.name": "lenet5",
    "backbone.weights": "none",
    "backbone.image_size": 32,
    "launch.threads": 1,
    "warmup_head.epochs": 3,
    "unfreeze.depth": 2,
    "unfreeze.epochs": 3,
    "search.confirm_seeds": 2,
}
SPACE = {
    "head.hidden": [[], [8]],
    "unfreeze.depth": {"low": 0, "high": 2, "log": False},
    "unfreeze.lr": {"low": 0.0001, "high": 0.01, "log": True},
}


def make(folder: Path, **changes: Any) -> Params:
    """Write ``params.yaml`` and the prepared data into ``folder``, which is the current one.

    ``changes`` are of ``search``.
    """
    text = (ROOT / "params.yaml").read_text()
    begin = text.index("  space:")
    space = f"  space: {json.dumps(changes.pop('space', SPACE))}\n"
    text = text[:begin] + space + text[text.index("  objective:") :]
    Path("params.yaml").write_text(text)
    write_values({**SMALL, **{f"search.{key}": value for key, value in changes.items()}})
    root = tiny.images(folder / "data" / "raw", each=16)
    settled = settings.prepare(val_fraction=0.25, test_fraction=0.1, short_side=16)
    params = load(Params).model_copy(update={"seed": 0, "prepare": settled})
    PREPARED.mkdir(parents=True)
    prepare.run(params, list_folder(root), PREPARED)
    return load(Params)


def opened(params: Params) -> Ground:
    return trial_context.opened(params, PREPARED)


def question(params: Params) -> Question:
    return Question.of(params, Prepared(PREPARED).manifest.digest, "")


def new_study(params: Params) -> tuple[Question, RDBStorage, optuna.Study]:
    asked = question(params)
    connected = storage.connect(params.search.storage)
    return asked, connected, study.open_study(asked, connected)

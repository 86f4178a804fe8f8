from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.advice.project import PREPARED, open_model
from thaw.advice import stored_advice as module
from thaw.advice.stored_advice import store_advice, stored_advice
from thaw.config.editing import write_values
from thaw.stages import prepare
from thaw.system.project_paths import ADVICE

VALUES: dict[str, Any] = {"unfreeze.depth": 0, "head.taps": [2, 3], "unfreeze.lr": 0.001}


@pytest.fixture(autouse=True)
def stored(project: Path) -> None:
    opened = open_model()
    store_advice(VALUES, opened.context, opened.spec)


def test_the_values_are_found_again_also_where_params_yaml_has_them_now() -> None:
    assert stored_advice(PREPARED) == VALUES
    write_values({**VALUES, "backbone.image_size": 48, "seed": 3})
    assert stored_advice(PREPARED) == VALUES


def test_values_of_other_images_are_not_used() -> None:
    next(Path("images").rglob("*.png")).unlink()
    prepare.main()
    assert stored_advice(PREPARED) is None


def test_values_of_another_backbone_or_other_weights_are_not_used() -> None:
    write_values({"backbone.weights": "none"})
    assert stored_advice(PREPARED) is None


def test_values_that_other_code_has_compared_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "code_digests", lambda: {"unfreeze": "other"})
    assert stored_advice(PREPARED) is None


@pytest.mark.parametrize("damage", ["", "[]", "null", '{"key": 1}', '{"key": 1, "values": 2}'])
def test_a_damaged_file_has_no_values(damage: str) -> None:
    ADVICE.write_text(damage)
    assert stored_advice(PREPARED) is None

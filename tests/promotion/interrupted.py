"""Kill a process between two writes to the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mlflow.tracking import MlflowClient

from tests.promotion.offering import examined
from thaw.promotion import promote as promotion

if TYPE_CHECKING:
    from tests.promotion.offered import Shop

WRITES = (
    "log_text",
    "update_model_version",
    "set_model_version_tag",
    "create_experiment",
    "set_experiment_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
)


class Killed(BaseException):
    """The process was killed."""


def killed(*_: object, **__: object) -> None:
    """Replace a write to the store; always raise Killed."""
    raise Killed


def killed_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """Raise Killed instead of write number ``step``, counted from 0."""
    left = [step]

    def dying(write: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return write(*args, **kwargs)

        return call

    for name in WRITES:
        patch.setattr(MlflowClient, name, dying(getattr(MlflowClient, name)))


def died_before_the_alias(shop: Shop, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register three versions; kill the promotion of the second after its row is written."""
    for quality in ("good", "same", "good"):
        shop.register(name, quality)
    pair = examined(shop, name, 2)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", killed)
        with pytest.raises(Killed):
            promotion.record_result(*pair)

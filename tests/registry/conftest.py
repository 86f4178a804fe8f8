from __future__ import annotations

from tests.store_fixtures import _mlflow_as_it_was, server

__all__ = ["_mlflow_as_it_was", "server"]

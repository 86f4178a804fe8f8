from __future__ import annotations

from tests.promotion.shop_fixtures import any_shop, local, remote, shop
from tests.store_fixtures import _mlflow_as_it_was, server

__all__ = ["_mlflow_as_it_was", "any_shop", "local", "remote", "server", "shop"]

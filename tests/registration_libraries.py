"""Import what takes each process that registers a model a second, for ``tests.fork_server``."""

# ruff: noqa: F401

import mlflow.pyfunc
import mlflow.store.tracking.sqlalchemy_store

import tests.registry.killed_registration
import tests.tracking.opened_at_once
import thaw.registry.register
import thaw.tracking.live_run

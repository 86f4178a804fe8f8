"""Import and compute once what takes each process that registers a model two seconds."""

# ruff: noqa: F401

import mlflow.pyfunc
import mlflow.store.tracking.sqlalchemy_store
from mlflow.utils import requirements_utils

import tests.registry.killed_registration
import tests.tracking.opened_at_once
import thaw.registry.register
import thaw.tracking.live_run

# MLflow lists the files of all installed packages before it logs a model.
requirements_utils._init_modules_to_packages_map()

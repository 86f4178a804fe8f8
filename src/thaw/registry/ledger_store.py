"""Read the rows of a ledger from the experiments of an MLflow store."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from thaw.registry import ledger_tags
from thaw.registry.alias_names import is_alias
from thaw.registry.ledger_chain import Problem
from thaw.registry.ledger_tags import BadRowError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlflow.entities import Experiment
    from mlflow.tracking import MlflowClient

    from thaw.registry.ledger_rows import Row


@dataclass(frozen=True)
class StoredRows:
    """The rows of a ledger as they are stored, and the experiments that are not valid rows.

    ``occupied`` are the names that are taken.
    """

    rows: Sequence[Row]
    problems: Sequence[Problem]
    occupied: frozenset[str]


def read_rows(client: MlflowClient, ledger: str, model_created: int) -> StoredRows:
    """Return the rows of ``ledger`` (MODEL/ALIAS).

    They are found by their names and by their tags, because anyone can change one of them.
    """
    prefix = ledger_tags.prefix_of(ledger)
    by_name = experiments(client, f"name LIKE '{prefix}%'")
    found = {one.experiment_id: one for one in by_name if one.name.startswith(prefix)}
    by_tag = experiments(client, f"tags.`{ledger_tags.LEDGER}` = '{ledger}'")
    found |= {one.experiment_id: one for one in by_tag}
    rows, problems = [], []
    for one in found.values():
        try:
            rows.append(ledger_tags.row_of(one, ledger, model_created))
        except BadRowError as error:
            problems.append(Problem(one.name[:200], str(error)))
    problems.sort(key=lambda problem: (len(problem.place), problem.place))
    return StoredRows(rows, problems, frozenset(one.name for one in found.values()))


def hide_rows(client: MlflowClient, ledger: str) -> None:
    """Hide the rows of ``ledger`` that earlier versions wrote from MLflow's page of experiments.

    Rows that this user may not change stay as they are: a decision must not fail because of a page.
    """
    shown = f"tags.`{ledger_tags.LEDGER}` = '{ledger}' AND tags.`{ledger_tags.HIDDEN}` IS NULL"
    with suppress(MlflowException):
        for one in list(experiments(client, shown)):
            if one.lifecycle_stage == "active":  # MLflow refuses to tag deleted ones
                client.set_experiment_tag(one.experiment_id, ledger_tags.HIDDEN, "true")


def create_row(client: MlflowClient, row: Row) -> Row | None:
    """Create the experiment of ``row``, unless its name is taken; return the row that it stores.

    It may exist because another process was faster, or because a request was repeated.

    Raises:
        MlflowException: the store failed.
    """
    name = f"{ledger_tags.prefix_of(row.ledger)}{row.number}"
    try:
        client.create_experiment(name, tags=ledger_tags.row_tags(row))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    found = client.get_experiment_by_name(name)
    try:
        return ledger_tags.row_of(found, row.ledger, row.model) if found else None
    except BadRowError:
        return None


def ledgers_of_model(client: MlflowClient, model_created: int, alias: str) -> set[str]:
    """Return the ledgers of ``alias`` that have rows of the model with this creation timestamp.

    MLflow keeps the timestamp when a model is renamed, and the rows keep the earlier name.
    """
    found = experiments(client, f"tags.`{ledger_tags.MODEL}` = '{model_created}'")
    keys = {one.tags.get(ledger_tags.LEDGER, "") for one in found}
    return {key for key in keys if key.endswith(f"/{alias}") and "'" not in key}


def aliases_with_open_rows(client: MlflowClient, name: str) -> set[str]:
    """Return the aliases of a model with a row whose move is not completed.

    Such an alias may not exist yet.
    """
    condition = (
        f"tags.`{ledger_tags.LEDGER}` LIKE '{name}/%' AND tags.`{ledger_tags.STATE}` = 'open'"
    )
    found = experiments(client, condition)
    keys = (one.tags[ledger_tags.LEDGER].rpartition("/") for one in found)
    # LIKE: "_" and "%" are wildcards. Anyone can write a tag: it need not name an alias.
    return {alias for model, _, alias in keys if model == name and is_alias(alias)}


def experiments(client: MlflowClient, condition: str) -> Iterator[Experiment]:
    """Yield all experiments that fulfil ``condition``, also deleted ones; "" selects all."""
    token = None
    while True:
        page = client.search_experiments(
            ViewType.ALL, filter_string=condition, max_results=1000, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return

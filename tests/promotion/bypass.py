"""Ways around the gate: what someone who can write to the MLflow store may try.

In each, version 1 is a good champion and version 2 a worse challenger, which the gate refuses.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import torch
from torch import nn

from tests.promotion.offering import offer
from tests.registry.forged import stored_tags, written
from thaw.model import directory
from thaw.registry.names import DIGEST, GATE, TEST_DIGEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow.tracking import MlflowClient

    from tests.promotion.offered import Shop
    from thaw.registry.ledger import Ledger

WORSE = "worse"  # a quality: it passes all floors, and not a comparison with "good"


def add_worse_model(shop: Shop) -> None:
    """Add a model to the shop whose accuracy is 0.88 on the test split, not 0.95."""
    classifier, spec = directory.load(shop.models["good"])
    head = next(module for module in classifier.head.modules() if isinstance(module, nn.Linear))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        noise = torch.randn(head.weight.shape, generator=generator)
        head.weight.add_(0.2 * head.weight.std() * noise)
    shop.models[WORSE] = shop.folder / WORSE
    directory.save(classifier, spec, shop.models[WORSE])


@dataclass
class Case:
    """A model with a good champion and a worse challenger, and what an attacker does to it."""

    shop: Shop
    name: str

    @property
    def client(self) -> MlflowClient:
        return self.shop.client

    @property
    def ledger(self) -> Ledger:
        return self.shop.ledger(self.name)

    def add(self, quality: str = WORSE) -> int:
        return self.shop.register(self.name, quality)

    def digest_of_files(self, version: int) -> str:
        (model,) = (self.artifact(version) / "data").iterdir()
        return directory.read_spec(model).digest

    def row(self, number: int) -> str:
        """Return the id of the experiment that stores a row of the champion."""
        found = self.client.get_experiment_by_name(f"promotion/{self.name}/champion/{number}")
        assert found is not None
        return str(found.experiment_id)

    def tag_row(self, number: int, **tags: str) -> None:
        for tag, value in tags.items():
            self.client.set_experiment_tag(self.row(number), f"thaw.{tag}", value)

    def point(self, version: int, alias: str = "champion") -> None:
        self.client.set_registered_model_alias(self.name, alias, str(version))

    def remove(self, alias: str = "champion") -> None:
        self.client.delete_registered_model_alias(self.name, alias)

    def delete(self, version: int) -> None:
        self.client.delete_model_version(self.name, str(version))

    def tag(self, version: int, tag: str, value: str) -> None:
        self.client.set_model_version_tag(self.name, str(version), tag, value)

    def run(self, version: int) -> str:
        return str(self.client.get_model_version(self.name, str(version)).run_id)

    def tag_run(self, version: int, tag: str, value: str) -> None:
        self.client.set_tag(self.run(version), tag, value)

    def artifact(self, version: int) -> Path:
        """Return the folder in which the local store keeps the files of a version."""
        uri = self.client.get_model_version_download_uri(self.name, str(version))
        return Path(mlflow.artifacts.download_artifacts(uri))

    def replace_files(self, version: int, quality: str = WORSE, *, with_tag: bool = True) -> None:
        """Put another model in the place of a registered one, with the digest that fits."""
        (target,) = (self.artifact(version) / "data").iterdir()
        shutil.rmtree(target)
        shutil.copytree(self.shop.models[quality], target)
        if with_tag:
            self.tag(version, DIGEST, directory.read_spec(target).digest)

    def promote_good(self) -> None:
        """Make version 3, a good one, the champion by a regular promotion."""
        self.add("same")
        assert offer(self.shop, self.name, 3).verdict == "passed"

    def forge(self, number: int, **changes: str) -> None:
        """Write a row by hand: the tags of row 1 with changes, and the digest of row 1."""
        tags = stored_tags(self.client, f"{self.name}/champion", 1)
        tags |= {f"thaw.{tag}": value for tag, value in changes.items()}
        written(self.client, f"promotion/{self.name}/champion/{number}", tags)


def _other_run(case: Case) -> None:
    """Register the worse files as a version of the run of the champion."""
    source = case.client.get_model_version(case.name, "2")
    tags = {DIGEST: source.tags[DIGEST], TEST_DIGEST: source.tags[TEST_DIGEST]}
    case.client.create_model_version(case.name, str(source.source), case.run(1), tags)


def _two(*steps: Callable[[Case], object]) -> Callable[[Case], object]:
    def attack(case: Case) -> None:
        for step in steps:
            step(case)

    return attack


def _point(version: int, alias: str = "champion") -> Callable[[Case], object]:
    return lambda case: case.point(version, alias)


def _tag_row(number: int, **tags: str) -> Callable[[Case], object]:
    return lambda case: case.tag_row(number, **tags)


def _tag(version: int, tag: str, value: str) -> Callable[[Case], object]:
    return lambda case: case.tag(version, tag, value)


def _rename_row(number: int, name: str) -> Callable[[Case], object]:
    return lambda case: case.client.rename_experiment(case.row(number), f"{case.name} {name}")


def _forged(number: int, **changes: str) -> Callable[[Case], object]:
    return lambda case: case.forge(number, **changes)


def _void(case: Case) -> None:
    case.tag_row(1, state="void")


ATTACKS: dict[str, Callable[[Case], object]] = {
    # aliases
    "nothing": lambda case: None,
    "alias by hand": _point(2),
    "alias by hand, the champion deleted": _two(_point(2), lambda c: c.delete(1)),
    "alias by hand, a refusal": _two(_point(2), lambda c: offer(c.shop, c.name, c.add("bad"))),
    "alias by hand, a verdict by hand": _two(_point(2), _tag(2, GATE, "passed")),
    "alias by hand, previous by hand": _two(_point(2), _point(2, "previous")),
    "previous by hand": _point(2, "previous"),
    "alias removed": lambda case: case.remove(),
    "alias removed, previous by hand": _two(lambda c: c.remove(), _point(2, "previous")),
    "alias removed, champion deleted": _two(lambda c: c.remove(), lambda c: c.delete(1)),
    "champion deleted": lambda case: case.delete(1),
    "all deleted, registered again": _two(
        lambda c: c.delete(1), lambda c: c.delete(2), lambda c: c.add(), lambda c: c.add()
    ),
    "challenger by hand to the champion": _point(1, "challenger"),
    # tags of versions
    "verdict by hand": _tag(2, GATE, "passed"),
    "first by hand": _tag(2, GATE, "first, no gate"),
    "first moved by hand": _two(
        lambda c: c.client.delete_model_version_tag(c.name, "1", GATE),
        _tag(2, GATE, "first, no gate"), lambda c: c.remove(),
    ),
    "scores by hand": _two(_tag(2, "test.accuracy", "1.0"), _tag(1, "test.accuracy", "0.1")),
    "digest of the champion changed": _tag(1, DIGEST, "0" * 64),
    "digest of the champion removed": lambda c: c.client.delete_model_version_tag(
        c.name, "1", DIGEST
    ),
    "digest of the champion for the challenger": lambda c: c.tag(
        2, DIGEST, c.shop.tags(c.name, 1)[DIGEST]
    ),
    "test split of the champion changed": _tag(1, TEST_DIGEST, "0" * 64),
    "test split of the challenger changed": _tag(2, TEST_DIGEST, "0" * 64),
    # files
    "files of the champion replaced": lambda c: c.replace_files(1),
    "files of the champion replaced, digest kept": lambda c: c.replace_files(1, with_tag=False),
    "files of the champion removed": lambda c: shutil.rmtree(c.artifact(1) / "data"),
    "files of the champion replaced, row without digest": _two(
        lambda c: c.replace_files(1), _tag_row(1, model="")
    ),
    "files of the previous champion replaced": _two(
        lambda c: c.promote_good(), lambda c: c.replace_files(1)
    ),
    # runs
    "another run": _other_run,
    "run deleted": lambda case: case.client.delete_run(case.run(2)),
    "run deleted and restored": _two(
        lambda c: c.client.delete_run(c.run(2)), lambda c: c.client.restore_run(c.run(2))
    ),
    "run of the champion deleted": lambda case: case.client.delete_run(case.run(1)),
    "scores of the run by hand": lambda c: c.client.log_metric(c.run(2), "test/accuracy", 1.0),
    "NaN scores of the champion": lambda c: c.client.log_metric(
        c.run(1), "test/accuracy", float("nan")
    ),
    "digest of the data by hand": lambda c: c.tag_run(2, "thaw.data_digest", "0" * 64),
    # rows
    "row renamed": _rename_row(1, "renamed"),
    "row renamed, alias by hand": _two(_rename_row(1, "renamed"), _point(2)),
    "row changed, alias by hand": _two(_tag_row(1, why="x"), _point(2)),
    "row names another version, alias by hand": _two(_tag_row(1, to="2"), _point(2)),
    "row of another model, alias by hand": _two(_tag_row(1, model_created="1"), _point(2)),
    "row of another ledger, alias by hand": _two(_tag_row(1, ledger="q/champion"), _point(2)),
    "row of another time": _tag_row(1, when="2099-01-01T00:00:00+00:00"),
    "row without a time, alias by hand": _two(_tag_row(1, when=""), _point(2)),
    "row void, alias removed": _two(_void, lambda c: c.remove()),
    "row void, alias by hand": _two(_void, _point(2)),
    "row open, alias by hand": _two(_tag_row(1, state="open"), _point(2)),
    "row with another state, alias by hand": _two(_tag_row(1, state="x"), _point(2)),
    "row deleted": lambda case: case.client.delete_experiment(case.row(1)),
    "row deleted, alias by hand": _two(
        lambda c: c.client.delete_experiment(c.row(1)), _point(2)
    ),
    "row deleted and restored": _two(
        lambda c: c.client.delete_experiment(c.row(1)),
        lambda c: c.client.restore_experiment(c.row(1)),
    ),
    # forged rows
    "next row taken": lambda c: written(c.client, f"promotion/{c.name}/champion/2", {}),
    "hundred rows taken": lambda c: [
        written(c.client, f"promotion/{c.name}/champion/{n}", {}) for n in range(2, 102)
    ],
    "forged open row": _forged(2, to="2", state="open", kind="promotion"),
    "forged done row, alias by hand": _two(_forged(2, to="2", kind="promotion"), _point(2)),
    "forged row far ahead": _forged(5000, to="2", state="open"),
    "forged rollback": _forged(2, to="2", state="open", kind="rollback", origin="1"),
    "copy of a row": _forged(2),
    "forged row in the old form": lambda c: written(
        c.client, f"promotion/{c.name}/champion/0", {"thaw.to": "2", "thaw.state": "open"}
    ),
    # the model
    "renamed, alias removed": lambda case: _renamed(case),
    "renamed and back, alias removed": _two(
        lambda c: c.client.rename_registered_model(c.name, f"{c.name} x"),
        lambda c: c.client.rename_registered_model(f"{c.name} x", c.name),
        lambda c: c.remove(),
    ),
}  # fmt: skip


def _renamed(case: Case) -> None:
    case.client.rename_registered_model(case.name, f"{case.name} new")
    case.name = f"{case.name} new"
    case.remove()


# A worse first champion, then a good one: the alias must not go back without a decision.
LATER: dict[str, Callable[[Case], object]] = {
    "void, alias by hand": _two(_tag_row(2, state="void"), _point(1)),
    "renamed, alias by hand": _two(_rename_row(2, "renamed"), _point(1)),
    "changed, alias by hand": _two(_tag_row(2, why="x"), _point(1)),
    "of another ledger, alias by hand": _two(_tag_row(2, ledger="q/champion"), _point(1)),
    "deleted, alias by hand": _two(lambda c: c.client.delete_experiment(c.row(2)), _point(1)),
    "alias by hand": _point(1),
    "alias by hand, previous removed": _two(_point(1), lambda c: c.remove("previous")),
    "version deleted, alias by hand": _two(lambda c: c.delete(2), _point(1)),
    "verdict removed, alias by hand": _two(
        lambda c: c.client.delete_model_version_tag(c.name, "2", GATE), _point(1)
    ),
    "files replaced": lambda c: c.replace_files(2),
    "files replaced, void": _two(lambda c: c.replace_files(2), _tag_row(2, state="void")),
}

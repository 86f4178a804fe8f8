from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from thaw.system import code_digests
from thaw.system.code_digests import PACKAGE, compute, compute_if_changed, counted_modules
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from pathlib import Path

TRAINING = {"warmup_head", "unfreeze", "fold_bn"}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the package whose files can be edited."""
    copy = tmp_path_factory.mktemp("sources") / "thaw"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def changed(package: Path, name: str, old: str, new: str) -> set[str]:
    """Return the names of the digests that an edit of the module ``name`` changes."""
    before = compute(package)
    path = package / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    after = compute(package)
    path.write_text(text)
    return {key for key in after if after[key] != before[key]}


def small_package(folder: Path, **modules: str) -> Path:
    """Write a package with a module for each stage; ``modules`` replace them."""
    stages = {f"stages/{stage}.py": "x = 1" for stage in STAGES}
    others = {
        "training/cached_activations.py": "",
        "training/activation_cache.py": "",
        "model/directory.py": "",
        "data/prepared.py": "",
        "training/dry_run.py": "",
    }
    given = {name.replace("__", "/") + ".py": text for name, text in modules.items()}
    for name, text in {**stages, **others, **given}.items():
        path = folder / "thaw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "thaw"


def test_every_stage_and_the_activations_have_a_digest() -> None:
    found = code_digests.code_digests()
    assert set(found) == {*STAGES, "activations", "dry_run"}
    assert len(set(found.values())) == len(found)


@pytest.mark.slow
def test_an_edit_of_a_comment_changes_no_digest(package: Path) -> None:
    assert not changed(package, "training/loop.py", "\nimport ", "\n# A new comment.\nimport ")


def test_an_edit_of_a_docstring_changes_no_digest(package: Path) -> None:
    assert not changed(package, "training/loop.py", '"""', '"""Another text. ')


@pytest.mark.parametrize(
    "name", ["cli/main.py", "system/console.py", "config/explanations.py", "errors.py"]
)
def test_an_edit_of_a_module_that_computes_nothing_changes_no_digest(
    name: str, package: Path
) -> None:
    assert not changed(package, name, "\nfrom ", "\nx = 1\nfrom ")


@pytest.mark.slow
def test_an_edit_in_training_changes_exactly_the_stages_that_import_it(package: Path) -> None:
    edit = ("from __future__", "x = 1\nfrom __future__")
    assert changed(package, "training/bn_recalibration.py", *edit) == {"fold_bn"}
    assert changed(package, "training/linear_heads.py", *edit) == {"warmup_head", "unfreeze"}
    assert changed(package, "training/loop.py", *edit) == {*TRAINING, "evaluate"}
    assert changed(package, "ingest/splits.py", *edit) == {"prepare"}


def test_an_edit_of_a_block_changes_all_stages_with_a_model_and_the_activations(
    package: Path,
) -> None:
    edit = ("from __future__", "x = 1\nfrom __future__")
    affected = {*TRAINING, "evaluate", "activations", "dry_run"}
    assert changed(package, "model/batchnorm.py", *edit) == affected


def test_imports_inside_functions_are_followed() -> None:
    assert "registry/register.py" in counted_modules(PACKAGE, "evaluate")
    assert "registry/register.py" not in counted_modules(PACKAGE, "unfreeze")


def test_only_evaluate_depends_on_the_code_that_writes_its_mlflow_run() -> None:
    counting = {
        stage
        for stage in STAGES
        if any(path.startswith("tracking/") for path in counted_modules(PACKAGE, stage))
    }
    assert counting == {"evaluate"}


def test_only_evaluate_depends_on_the_code_of_the_metrics() -> None:
    registry = "metrics/registry.py"
    depending = [stage for stage in STAGES if registry in counted_modules(PACKAGE, stage)]
    assert depending == ["evaluate"]


def test_only_stages_that_train_depend_on_the_code_of_the_optimisers() -> None:
    registry = "optimizers/registry.py"
    depending = [stage for stage in STAGES if registry in counted_modules(PACKAGE, stage)]
    assert depending == ["warmup_head", "unfreeze", "fold_bn"]


def test_imports_of_a_module_that_is_left_out_are_followed(tmp_path: Path) -> None:
    package = small_package(
        tmp_path,
        stages__unfreeze="from thaw.system import console",
        system__console="import thaw.training.loop",
        training__loop="y = 1",
    )
    assert counted_modules(package, "unfreeze") == ["stages/unfreeze.py", "training/loop.py"]


def test_imports_for_types_alone_are_not_followed(tmp_path: Path) -> None:
    package = small_package(
        tmp_path,
        stages__unfreeze="if TYPE_CHECKING:\n    from thaw.training import loop",
        training__loop="y = 1",
    )
    assert counted_modules(package, "unfreeze") == ["stages/unfreeze.py"]


def test_a_relative_import_is_refused(tmp_path: Path) -> None:
    package = small_package(tmp_path, stages__unfreeze="from . import prepare")
    with pytest.raises(ValueError, match="relative"):
        compute(package)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("x = (1 +\n  2)", "x = 1 + 2", True),
        ('def f():\n    "One."\n    return 1', 'def f():\n    "Two."\n    return 1', True),
        ('class A:\n    """One."""', "class A:\n    pass", False),
        ("x = 1", "x = 2", False),
        ("x = 1", "x = 1.0", False),
        ("x = 'a'", "y = 'a'", False),
        ("if a:\n    'text'\n    b()", "if a:\n    'other'\n    b()", False),
    ],
)
def test_formatting_and_docstrings_do_not_count_but_code_does(
    one: str, other: str, is_same: bool, tmp_path: Path
) -> None:
    first = compute(small_package(tmp_path / "1", stages__unfreeze=one))
    second = compute(small_package(tmp_path / "2", stages__unfreeze=other))
    assert (first == second) is is_same


def test_kept_digests_are_used_until_a_source_file_changes(tmp_path: Path) -> None:
    package, kept = small_package(tmp_path, training__loop="x = 1"), tmp_path / "kept" / "a.json"
    assert compute_if_changed(package, kept) == compute(package)
    content = json.loads(kept.read_text())
    kept.write_text(json.dumps({**content, "digests": dict.fromkeys(content["digests"], "known")}))
    assert set(compute_if_changed(package, kept).values()) == {"known"}
    (package / "stages" / "unfreeze.py").write_text("x = 10")
    assert compute_if_changed(package, kept) == compute(package)
    (package / "stages" / "new.py").write_text("")
    for damaged in ("", "[]", '{"files": []}', '{"files": [], "digests": 1}'):
        kept.write_text(damaged)
        assert compute_if_changed(package, kept) == compute(package)


def test_digests_that_cannot_be_kept_are_computed(tmp_path: Path) -> None:
    package = small_package(tmp_path)
    (tmp_path / "file").write_text("")
    assert compute_if_changed(package, tmp_path / "file" / "a.json") == compute(package)


def test_a_wheel_uses_the_digests_that_it_contains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "code_digests.json"
    shipped.write_text(json.dumps({"prepare": "a"}))
    monkeypatch.setattr(code_digests, "SHIPPED", shipped)
    assert code_digests.code_digests.__wrapped__() == {"prepare": "a"}

from __future__ import annotations

from importlib.util import find_spec

import pytest

from benchmarks import __main__ as benchmarks


def test_without_a_target_all_targets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks.main([]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in benchmarks.TARGETS)


def test_an_unknown_target_is_refused_with_all_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks.main(["pipelin"]) == 2
    assert "no benchmark 'pipelin': choose from pipeline" in capsys.readouterr().err


def test_an_option_without_a_target_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks.main(["--epochs=5"]) == 2
    assert "name a benchmark before its options" in capsys.readouterr().err


def test_options_belong_to_the_target_before_them() -> None:
    assert benchmarks.commands(["method", "--epochs=5", "drift"]) == [
        ["benchmarks.method.comparison", "--epochs=5"],
        ["benchmarks.drift_scores"],
    ]


@pytest.mark.parametrize("name", benchmarks.TARGETS)
def test_the_module_of_a_target_exists(name: str) -> None:
    found = find_spec(f"benchmarks.{benchmarks.TARGETS[name].module}")
    assert found is not None
    assert found.submodule_search_locations is None or find_spec(f"{found.name}.__main__")

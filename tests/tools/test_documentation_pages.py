"""The pages of the documentation site that are made from the code."""

from __future__ import annotations

from thaw.cli.app import app
from thaw.config.parameter import parameters
from thaw.config.params import Params
from tools.documentation_pages import generated_pages


def test_the_page_of_commands_has_every_command() -> None:
    page = generated_pages()["reference/commands.md"]
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        assert f"## `thaw {name}`" in page


def test_the_page_of_parameters_has_a_row_for_every_parameter() -> None:
    page = generated_pages()["reference/parameters.md"]
    for parameter in parameters(Params):
        assert page.count(f"| `{parameter.key}` |") == 1


def test_cells_of_tables_hold_no_html_and_no_column_marks() -> None:
    page = generated_pages()["reference/parameters.md"]
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert all(row.replace("\\|", "").count("|") == 5 and "<" not in row for row in rows)

"""Pages of the documentation site that are made from the code, as a hook of mkdocs.

They are made during the build and not stored, so that they are never out of date.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from mkdocs.structure.files import File
from typer.cli import get_docs_for_click

from thaw.cli.app import app
from thaw.config import reference
from thaw.config.params import Params

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

    from thaw.config.reference import ParameterReference

ROOT = Path(__file__).resolve().parent.parent


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site (called by mkdocs)."""
    for path, content in generated_pages().items():
        files.append(File.generated(config, path, content=content))
    return files


def generated_pages() -> dict[str, str]:
    """Return the text of each generated page by its path below ``docs/``."""
    return {
        "reference/commands.md": _commands(),
        "reference/parameters.md": _parameters(),
        "changes.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    }


def _commands() -> str:
    """Return the help of every command as a page."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="thaw")
    page = get_docs_for_click(obj=command, ctx=context, name="thaw", title="Commands")
    # The list of commands holds shortened sentences; each command follows with its whole help.
    start, _, rest = page.partition("**Commands**:")
    return start + rest[rest.index("## ") :]


def _parameters() -> str:
    """Return a page with a table of parameters for each section of ``params.yaml``."""
    parts = [
        "# Parameters\n",
        "`params.yaml` holds the values that a project decides; each other parameter has its "
        "default. `thaw params` prints this reference with the values of a project.\n",
    ]
    sections: dict[str, list[ParameterReference]] = {}
    for parameter in reference.describe(Params()):
        sections.setdefault(parameter.key.split(".")[0], []).append(parameter)
    for section, parameters in sections.items():
        parts += [f"## {section}\n", _table(parameters)]
    return "\n".join(parts)


def _table(parameters: Sequence[ParameterReference]) -> str:
    rows = [
        f"| `{parameter.key}` | {_code(parameter.default)} | {_cell(parameter.range)} "
        f"| {_meaning(parameter)} |"
        for parameter in parameters
    ]
    return "\n".join(["| parameter | default | range | meaning |", "|---|---|---|---|", *rows, ""])


def _meaning(parameter: ParameterReference) -> str:
    unit = f" Unit: {parameter.unit}." if parameter.unit else ""
    source = f" Source: {parameter.source}." if parameter.source else ""
    return _cell(f"{parameter.meaning}{unit}{source}")


def _code(value: object) -> str:
    return f"`{value!r}`".replace("|", "\\|")


def _cell(text: str) -> str:
    """Return ``text`` as the cell of a table: on one line, without HTML and column marks."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")

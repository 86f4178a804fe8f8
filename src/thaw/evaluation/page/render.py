"""Write the content of a report page as one HTML file, with its styles and scripts in it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from thaw.evaluation.page.thumbnails import IMAGE
from thaw.system.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "index.html"
_SCRIPTS = ("d3.min.js", "plot.min.js", "page.js")  # in the order in which they need each other


def write_page(content: Mapping[str, Any], path: Path) -> None:
    """Write the page of a result."""
    write_whole(path, render("page.html.jinja", content).encode("utf-8", "backslashreplace"))


def write_comparison(content: Mapping[str, Any], path: Path) -> None:
    """Write the page that compares two results."""
    page = render("compare.html.jinja", content)
    write_whole(path, page.encode("utf-8", "backslashreplace"))


def write_note(title: str, text: str, path: Path) -> None:
    """Write a page of one sentence, in place of a report."""
    page = render("note.html.jinja", {"title": title, "text": text})
    write_whole(path, page.encode("utf-8", "backslashreplace"))


def render(template: str, content: Mapping[str, Any]) -> str:
    """Return the HTML of ``template``; text in ``content`` is escaped."""
    # No diagram shows the release, which is replaced later where the page shows it.
    drawn = {key: value for key, value in content.items() if key != "release"}
    return (
        environment()
        .get_template(template)
        .render(
            content=content,
            drawn=without_images(drawn),
            style=_file("page.css"),
            scripts=[_file(name) for name in _SCRIPTS],
        )
    )


def environment(*, autoescape: bool = True) -> Environment:
    """Return what reads the templates of this package; those of Markdown escape by a filter."""
    made = Environment(
        loader=PackageLoader("thaw.evaluation.page", "files"),
        autoescape=autoescape,  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "percent": percent,
        "number": number,
        "commands": commands,
        "title_case": title_case,
    }
    return made


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as text in percent, "-" if there is none."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as text, "-" if there is none; whole numbers have separators."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def title_case(label: str) -> str:
    """Return the label with a capital first letter; the other letters stay."""
    return label[:1].upper() + label[1:]


def commands(text: str) -> Markup:
    """Return a sentence as HTML, with what is between backticks as code."""
    parts = enumerate(text.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(p) if n % 2 else p for n, p in parts)


def without_images(content: Any) -> Any:
    """Return the content without pictures, which the page holds outside of its data."""
    if isinstance(content, list):
        return [without_images(each) for each in content]
    if not isinstance(content, Mapping):
        return content
    return {
        key: without_images(value)
        for key, value in content.items()
        if not (isinstance(value, str) and value.startswith(IMAGE))
    }


def _file(name: str) -> Markup:
    """Return a file of the package, which is part of the page as it is."""
    text = files("thaw.evaluation.page").joinpath("files", name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704  (the file is part of this package)

"""Tests of the report page and of the comparison of two results, as a browser shows them."""

from __future__ import annotations

from contextlib import chdir
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.evaluation.page import example
from tests.evaluation.page.test_comparison import result
from tests.evaluation.page.test_training_section import HEADS, TRAININGS
from tests.serving.barriers import all_barriers, needs_axe
from thaw.evaluation.page.comparison import compare
from thaw.evaluation.page.content import complete, measure
from thaw.evaluation.page.render import write_comparison, write_page
from thaw.evaluation.page.training_section import choices_section
from thaw.system.files import write_json, write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from tests.serving.browser import Page
    from thaw.evaluation.page.subject import Subject

pytestmark = pytest.mark.browser
WIDTHS = [(1280, False), (1280, True), (768, False), (375, False), (375, True)]
CHARTS = {
    "recall": "found", "confusion": "label", "reliability": "probability", "confidences": "images",
    "losses": "loss", "accuracies": "accuracy", "depth": "block", "counts": "images",
    "heads": "log-loss", "trainings": "log-loss",
}  # fmt: skip
_A4 = (688, 1017)  # the pixels of a page between its margins of 14 mm
DEPTH = [
    {"kind": kind, "block": block, "accuracy": start + 0.06 * block, "error": 0.02}
    for kind, start in (("block alone", 0.3), ("block to the last", 0.36))
    for block in range(1, 10)
]
_OUTSIDE = (
    "performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length"
)
# Words of up to eight characters, such as "default" and "0.0001", in more than one line.
_BROKEN = """[...document.querySelectorAll('td')].filter(cell => {
  if (!cell.firstChild || !/^\\S{1,8}$/.test(cell.textContent)) return false;
  const range = document.createRange(); range.selectNodeContents(cell);
  return new Set([...range.getClientRects()].map(line => Math.round(line.top))).size > 1;
}).map(cell => cell.textContent)"""
# The number of lines of each key of a parameter.
_KEY_LINES = """Object.fromEntries([...document.querySelectorAll('code.key')].map(code => {
  const range = document.createRange(); range.selectNodeContents(code);
  return [code.textContent,
          new Set([...range.getClientRects()].map(line => Math.round(line.top))).size];
}))"""
_TOO_WIDE = "document.documentElement.scrollWidth > innerWidth"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small model with mistakes, calibrated, with a suspect label."""
    folder = tmp_path_factory.mktemp("project")
    with chdir(folder):
        subject = example.subject(folder)
        scored = replace(subject.result, uncalibrated=subject.result.scores)
        subject = replace(subject, result=scored)
        content = complete(measure(subject), subject, example.REGISTRATION)
        content["depth"] = DEPTH
        write_leaderboards(subject)
        content["choices"] = choices_section(subject)
    write_page(content, folder / "index.html")
    return folder / "index.html"


@pytest.fixture(scope="module")
def large_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a model with 20 classes and 40 mistakes, whose tables have filters."""
    folder = tmp_path_factory.mktemp("large")
    with chdir(folder):
        subject = example.subject(folder)
        content = complete(measure(subject), subject, example.REGISTRATION)
    (row, *_), (mistake, *_) = content["test"]["rows"], content["mistakes"]["rows"]
    content["test"]["rows"] = [
        {**row, "class": f"class {n}"} for n in (7, *range(7), *range(8, 20))
    ]
    content["mistakes"]["rows"] = [{**mistake, "path": f"{n}.png"} for n in reversed(range(40))]
    write_page(content, folder / "index.html")
    return folder / "index.html"


def write_leaderboards(subject: Subject) -> None:
    """Write the leaderboards and choices of heads and trainings into the reports."""
    head, training = subject.reports / "warmup_head", subject.reports / "unfreeze"
    write_whole(head / "leaderboard.csv", HEADS.encode())
    write_whole(training / "leaderboard.csv", TRAININGS.encode())
    write_json(head / "choices.json", {"values": {"head.taps": [8, 9]}, "images": 51, "folds": 5})
    write_json(training / "choices.json", {"values": {"augment.flip": 0.0}})


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("comparison") / "compare.html"
    params = "seed: 1\nunfreeze: {batch_norm: train, lr: 0.0001}\nwarmup_head: {strength: 0.0001}\n"
    write_comparison(compare(result("a", 150), result("b", 180, params=params)), path)
    return path


def opened(page: Page, path: Path, width: int, *, dark: bool) -> None:
    page.open(path.as_uri(), width, 900, dark=dark)
    page.wait("[...document.querySelectorAll('[data-chart]')].every(e => e.querySelector('svg'))")


@pytest.mark.parametrize("kind", ["report", "comparison"])
@pytest.mark.parametrize(("width", "dark"), WIDTHS)
def test_a_page_shows_all_diagrams_without_errors_or_requests(
    page: Page, request: pytest.FixtureRequest, kind: str, width: int, *, dark: bool
) -> None:
    opened(page, request.getfixturevalue(kind), width, dark=dark)
    page.screenshot(f"{kind}-{width}-{'dark' if dark else 'light'}")
    assert page.problems == []
    assert page.evaluate(_OUTSIDE) == 0
    assert not page.evaluate(_TOO_WIDE)


@pytest.mark.parametrize("kind", ["report", "comparison"])
def test_no_short_value_of_a_table_is_broken_on_a_telephone(
    page: Page, request: pytest.FixtureRequest, kind: str
) -> None:
    opened(page, request.getfixturevalue(kind), 375, dark=False)
    assert page.evaluate(_BROKEN) == []


def test_the_key_of_a_parameter_is_broken_after_a_point_alone(page: Page, comparison: Path) -> None:
    opened(page, comparison, 375, dark=False)
    lines = page.evaluate(_KEY_LINES)
    assert {"seed": 1, "unfreeze.batch_norm": 2}.items() <= lines.items()
    assert all(count <= key.count(".") + 1 for key, count in lines.items())


def test_equal_curves_of_two_results_are_both_seen(page: Page, comparison: Path) -> None:
    opened(page, comparison, 1280, dark=False)
    widths = page.evaluate(
        "[...document.querySelectorAll('[data-chart=compared] path[stroke-width], "
        "[data-chart=compared] g[stroke-width]')].map(e => +e.getAttribute('stroke-width'))"
    )
    assert {5, 2.2} <= set(widths)


@pytest.mark.parametrize("kind", ["report", "comparison"])
@pytest.mark.parametrize(("width", "dark"), WIDTHS)
@needs_axe
def test_a_page_has_no_barrier(
    page: Page, request: pytest.FixtureRequest, kind: str, width: int, *, dark: bool
) -> None:
    opened(page, request.getfixturevalue(kind), width, dark=dark)
    if kind == "report":
        titles = page.evaluate("[...document.querySelectorAll('h2')].map(e => e.textContent)")
        assert {"Depth", "Choices"} <= set(titles)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert all_barriers(page) == []


@pytest.mark.parametrize("width", [1280, 768])
def test_the_scores_stand_beside_the_accuracy_in_several_columns(
    page: Page, report: Path, width: int
) -> None:
    opened(page, report, width, dark=False)
    lefts = "new Set([...document.querySelectorAll('.tiles > div')].map(e => e.offsetLeft)).size"
    assert page.evaluate(lefts) >= 2
    bottom = "document.querySelector('header').getBoundingClientRect().bottom"
    assert page.evaluate(bottom) < 900


@pytest.mark.parametrize("name", CHARTS)
def test_the_mouse_over_a_mark_of_a_chart_shows_its_value(
    page: Page, report: Path, name: str
) -> None:
    opened(page, report, 1280, dark=False)
    chart = f"document.querySelector('[data-chart={name}]')"
    marks = f"{chart}.querySelectorAll('circle, rect')"
    page.evaluate(f"{chart}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    x, y = page.evaluate(
        f"(r => [r.x + r.width / 2, r.y + r.height / 2])({marks}[0].getBoundingClientRect())"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    shown = page.wait(f"{chart}.querySelector('g[aria-label=tip] text')?.textContent")
    assert CHARTS[name] in shown
    assert any(letter.isdigit() for letter in shown)


def test_tables_of_a_report_are_sorted_and_filtered(page: Page, large_report: Path) -> None:
    opened(page, large_report, 1280, dark=False)
    for caption, wanted, rows in (("Scores by class", "class 1", 11), ("All mistakes", "17", 1)):
        tables = "[...document.querySelectorAll('table')]"
        table = f"{tables}.find(t => t.caption.innerText === {caption!r})"
        page.evaluate(f"{table}.closest('details')?.setAttribute('open', '')")
        cells = (
            f"[...{table}.tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells[0].textContent)"
        )
        names = page.evaluate(cells)
        button = f"{table}.tHead.rows[0].cells[0].querySelector('button')"
        page.evaluate(f"{button}.click()")
        assert page.evaluate(cells) == sorted(names, key=number_of)
        page.evaluate(f"{button}.click()")
        assert page.evaluate(cells) == sorted(names, key=number_of, reverse=True)
        page.evaluate(f"document.querySelector('input[aria-label=\"Filter: {caption}\"]').focus()")
        page.call("Input.insertText", text=wanted)
        assert len(page.evaluate(cells)) == rows
        assert (
            page.evaluate(
                f"{table}.parentElement.previousElementSibling.querySelector('output').textContent"
            )
            == f"{rows} of {len(names)} rows"
        )


def number_of(name: str) -> int:
    """Return the number in a name such as "class 3"."""
    return int("".join(filter(str.isdigit, name)))


def test_a_table_is_sorted_by_a_column_and_filtered_by_a_text(page: Page, comparison: Path) -> None:
    opened(page, comparison, 1280, dark=False)
    table = "document.querySelector('[data-filter]')"
    first = f"{table}.tBodies[0].rows[0].cells[0].textContent"
    page.evaluate(f"{table}.tHead.rows[0].cells[0].querySelector('button').click()")
    assert page.evaluate(first) == "150.png"
    page.evaluate(f"{table}.tHead.rows[0].cells[0].querySelector('button').click()")
    assert page.evaluate(first) == "179.png"
    assert page.evaluate(f"{table}.tHead.rows[0].cells[0].ariaSort") == "descending"
    page.evaluate(
        "(i => { i.value = '17'; i.dispatchEvent(new Event('input')); })"
        "(document.querySelector('input[type=search]'))"
    )
    shown = f"[...{table}.tBodies[0].rows].filter(r => !r.hidden).length"
    assert page.evaluate(shown) == 10
    assert page.evaluate("document.querySelector('output').textContent") == "10 of 30 rows"


def test_the_first_screen_says_which_model_how_good_and_whether_it_is_released(
    page: Page, report: Path
) -> None:
    opened(page, report, 1280, dark=False)
    text = page.evaluate(
        "[...document.querySelectorAll('header *')].filter(e => "
        "e.children.length === 0 && e.getBoundingClientRect().bottom < 900)"
        ".map(e => e.textContent).join(' ')"
    )
    for part in ("version 1", "Released", "Test accuracy"):
        assert part in text
    assert "95 % interval" in page.evaluate("document.querySelector('.between').textContent")


def test_tables_of_a_printed_page_stay_whole_or_repeat_the_names_of_their_columns(
    page: Page, report: Path
) -> None:
    opened(page, report, 1280, dark=False)
    page.call("Emulation.setEmulatedMedia", media="print")
    style = "[...document.querySelectorAll('{}')].map(e => getComputedStyle(e).{})"
    assert set(page.evaluate(style.format(".scroll", "breakInside"))) == {"avoid"}
    # Chromium paints a button on the first page only, so that the repeated names would be empty.
    assert set(page.evaluate(style.format("thead button", "display"))) == {"contents"}
    assert set(page.evaluate(style.format("thead", "display"))) == {"table-header-group"}
    page.call("Emulation.setEmulatedMedia", media="")


def test_a_printed_page_has_dark_text_on_white_and_no_controls(page: Page, report: Path) -> None:
    opened(page, report, 1280, dark=True)
    page.call("Emulation.setEmulatedMedia", media="print")
    style = "getComputedStyle(document.body)"
    assert page.evaluate(f"{style}.backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(f"{style}.color") == "rgb(0, 0, 0)"
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    page.call("Emulation.setEmulatedMedia", media="")


def test_a_printed_page_has_all_sections_and_whole_charts(page: Page, report: Path) -> None:
    width, height = _A4
    opened(page, report, width, dark=False)
    sections = "[...document.querySelectorAll('main section')].map(e => e.id)"
    before = page.evaluate(sections)
    page.call("Emulation.setEmulatedMedia", media="print")
    page.wait("matchMedia('print').matches")
    shown = page.evaluate(
        "[...document.querySelectorAll('main section')]"
        ".filter(e => e.checkVisibility() && e.offsetHeight > 50).map(e => e.id)"
    )
    assert shown == before
    assert {"classes", "mistakes", "calibration", "training", "depth", "data", "origin"} <= {*shown}
    # A browser prints a wider page smaller; Chromium down to a half.
    assert page.evaluate("document.documentElement.scrollWidth") <= 2 * width
    for left, right, tall in page.evaluate(
        "[...document.querySelectorAll('[data-chart] svg')].map(e => e.getBoundingClientRect())"
        ".map(r => [r.left, r.right, r.height])"
    ):
        assert left >= 0
        assert right <= width
        assert 0 < tall < height
    style = "[...document.querySelectorAll('{}')].map(e => getComputedStyle(e).breakInside)"
    for whole in ("figure", ".samples > *", ".card", ".tiles"):
        assert set(page.evaluate(style.format(whole))) == {"avoid"}, whole
    page.call("Emulation.setEmulatedMedia", media="")

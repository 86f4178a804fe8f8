from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

import pytest
import requests

from tests.registry.served import CLASSES, image, model_directory
from tests.serving.barriers import needs_axe, serious_barriers
from tests.serving.browser import page_of_tests
from tests.serving.service import running
from thaw.model.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.serving.browser import Page

ROWS = "[...document.querySelectorAll('#classes li')].map(row => row.innerText)"


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    with running(str(model)) as address:
        yield address


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    yield from page_of_tests(tmp_path_factory.mktemp("profile"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(image(3, size=300))
    return path


def expected(model: Path, picture: Path) -> list[str]:
    """Return labels with probabilities, the most probable first, as the page shows them."""
    (row,) = Predictor(model).probabilities([picture.read_bytes()]).tolist()
    ranked = sorted(zip(CLASSES, row, strict=True), key=lambda pair: -pair[1])
    return [f"{label} {100 * share:.1f} %" for label, share in ranked]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("way", "width", "dark"),
    [("choose", 1200, False), ("drop", 1000, True), ("choose", 360, False)],
)
def test_a_person_gives_an_image_and_sees_the_classes(
    way: str,
    width: int,
    dark: bool,
    page: Page,
    url: str,
    model: Path,
    picture: Path,
) -> None:
    page.open(url, width, 780, dark=dark)
    page.screenshot(f"empty-{width}")
    if way == "choose":
        page.choose("#file", picture)
    else:
        page.drop("#drop", picture)
    page.wait("document.querySelectorAll('#classes li').length === 3")
    rows = [" ".join(row.split()) for row in page.evaluate(ROWS)]
    assert rows == expected(model, picture)
    assert page.evaluate("document.querySelector('#message').innerText") == rows[0].replace(
        " ", ", ", 1
    )
    page.wait("document.querySelector('#preview').naturalWidth === 300")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    widths = "[...document.querySelectorAll('.bar')].map(bar => bar.offsetWidth)"
    bars = page.evaluate(widths)
    assert bars == sorted(bars, reverse=True)
    assert bars[0] > 20
    page.screenshot(f"answer-{width}")
    assert page.problems == []


@pytest.mark.browser
@pytest.mark.parametrize(("way", "width", "dark"), [("drop", 375, True), ("choose", 1200, False)])
def test_several_files_are_all_classified_and_each_can_be_shown(
    way: str, width: int, dark: bool, page: Page, url: str, model: Path, tmp_path: Path
) -> None:
    pictures = []
    for seed in (3, 4, 5):
        path = tmp_path / f"picture {seed}.png"
        path.write_bytes(image(seed, size=300))
        pictures.append(path)
    broken = tmp_path / "broken.png"
    broken.write_text("<html>")
    page.open(url, width, 780, dark=dark)
    give = page.choose if way == "choose" else page.drop
    give("#file" if way == "choose" else "#drop", *pictures[:2], broken, pictures[2])
    results = "[...document.querySelectorAll('#files .result')].map(one => one.innerText)"
    page.wait(f"!{results}.includes('…') && {results}.length === 4")
    rows = [expected(model, path) for path in pictures]
    best = [row[0].replace(" ", ", ", 1) for row in rows]
    found = page.evaluate(results)
    assert [found[0], found[1], found[3]] == best
    assert found[2].startswith("not an image")
    names = page.evaluate("[...document.querySelectorAll('#files .file')].map(x => x.innerText)")
    assert names == ["picture 3.png", "picture 4.png", "broken.png", "picture 5.png"]
    assert [" ".join(row.split()) for row in page.evaluate(ROWS)] == rows[0]
    page.screenshot(f"several-{width}")
    page.evaluate("document.querySelectorAll('#files button')[3].focus()")
    for kind in ("keyDown", "keyUp"):
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        page.call("Input.dispatchKeyEvent", type=kind, **enter)
    assert [" ".join(row.split()) for row in page.evaluate(ROWS)] == rows[2]
    pressed = "[...document.querySelectorAll('#files button')].map(x => x.ariaPressed)"
    assert page.evaluate(pressed) == ["false", "false", "false", "true"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.problems.clear()  # the browser logs the status 400


@pytest.mark.browser
def test_a_file_that_is_not_an_image_shows_an_error_until_the_next_image(
    page: Page, url: str, picture: Path, tmp_path: Path
) -> None:
    page.open(url, 360, 780)
    (tmp_path / "page.png").write_text("<html>")
    page.choose("#file", tmp_path / "page.png")
    message = page.wait("document.querySelector('#message.error')?.innerText")
    assert message.startswith("not an image")
    assert page.evaluate("document.querySelector('#preview').hidden")
    page.screenshot("error")
    page.choose("#file", picture)
    page.wait("document.querySelectorAll('#classes li').length === 3")
    assert not page.evaluate("document.querySelector('#message').classList.contains('error')")
    page.problems.clear()  # the browser logs the status 400


@pytest.mark.browser
def test_the_page_works_by_keyboard_and_has_names_for_screen_readers(page: Page, url: str) -> None:
    page.open(url, 1200, 780)
    for kind in ("keyDown", "keyUp"):
        page.call(
            "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
        )
    assert page.evaluate("document.activeElement.id") == "file"
    page.call("Accessibility.enable")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    found = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes}
    assert any(name.startswith("Choose images") for _, name in found)
    assert ("status", "") in found
    assert any(role == "heading" for role, _ in found)


@pytest.mark.browser
@needs_axe
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_has_no_serious_barrier_before_and_after_an_image(
    page: Page, url: str, picture: Path, *, dark: bool
) -> None:
    page.open(url, 1000, 900, dark=dark)
    assert serious_barriers(page) == []
    page.choose("input[type=file]", picture)
    page.wait(f"{ROWS}.length")
    assert serious_barriers(page) == []


@pytest.mark.browser
@needs_axe
@pytest.mark.parametrize(("width", "dark"), [(1000, False), (1000, True), (375, False)])
def test_a_list_of_several_files_has_no_serious_barrier(
    page: Page, url: str, tmp_path: Path, width: int, *, dark: bool
) -> None:
    pictures = [tmp_path / f"picture {seed}.png" for seed in (3, 4)]
    for seed, path in enumerate(pictures, 3):
        path.write_bytes(image(seed, size=300))
    broken = tmp_path / "broken.png"
    broken.write_text("<html>")
    page.open(url, width, 900, dark=dark)
    page.choose("input[type=file]", *pictures, broken)
    results = "[...document.querySelectorAll('#files .result')].map(one => one.innerText)"
    page.wait(f"!{results}.includes('…') && {results}.length === 3")
    assert serious_barriers(page) == []
    page.problems.clear()  # the browser logs the status 400


@pytest.mark.browser
@needs_axe
@pytest.mark.parametrize("dark", [False, True])
def test_the_documentation_has_no_serious_barrier(page: Page, url: str, *, dark: bool) -> None:
    page.open(f"{url}/docs", 1200, 780, dark=dark)
    page.wait("document.querySelectorAll('.opblock').length === 3")
    assert serious_barriers(page) == []
    page.evaluate("document.querySelectorAll('.opblock-summary-control').forEach(b => b.click())")
    page.wait("document.querySelectorAll('.opblock-body').length === 3")
    assert serious_barriers(page) == []
    page.evaluate("document.querySelectorAll('.try-out__btn').forEach(b => b.click())")
    page.wait("document.querySelectorAll('.execute').length === 3")
    assert serious_barriers(page) == []
    page.evaluate("document.querySelectorAll('.execute').forEach(b => b.click())")
    page.wait("document.querySelectorAll('.live-responses-table').length === 3")
    page.wait("!document.getAnimations().length")  # the buttons change their colours
    assert serious_barriers(page) == []
    names = page.evaluate("[...document.querySelectorAll('textarea')].map(e => e.ariaLabel)")
    assert names
    assert set(names) == {"Request body"}
    page.problems.clear()  # the browser logs the status 400 of the request that Swagger UI makes up


@pytest.mark.browser
def test_a_probability_stands_on_one_line(page: Page, url: str, picture: Path) -> None:
    page.open(url, 360, 900)
    page.choose("input[type=file]", picture)
    page.wait(f"{ROWS}.length")
    cells = "[...document.querySelectorAll('#classes .share')]"
    page.evaluate(f"{cells}.forEach(e => {{ e.textContent = '100.0 %' }})")
    height = page.evaluate("parseFloat(getComputedStyle(document.body).lineHeight)")
    assert page.evaluate(f"{cells}.every(e => e.offsetHeight < 1.5 * {height})")
    assert page.evaluate(f"{cells}.every(e => e.scrollWidth <= e.offsetWidth)")


@pytest.mark.browser
@pytest.mark.parametrize(("width", "is_beside"), [(1280, True), (900, False), (375, False)])
def test_bars_begin_beside_the_longest_name_and_a_wide_screen_shows_them_beside_the_images(
    width: int, is_beside: bool, page: Page, url: str, picture: Path
) -> None:
    page.open(url, width, 800)
    page.choose("input[type=file]", picture)
    page.wait(f"{ROWS}.length")
    box = "document.querySelector('{}').getBoundingClientRect()"
    drop, classes, track = (box.format(name) for name in ("#drop", "#classes", ".track"))
    names = "[...document.querySelectorAll('#classes .name')].map(e => e.scrollWidth)"
    gap = page.evaluate(f"{track}.left - {classes}.left - Math.max(...{names})")
    assert 0 < gap < 20
    assert page.evaluate(f"{classes}.left > {drop}.right") is is_beside
    assert page.evaluate(f"{classes}.bottom < 800") or not is_beside


@pytest.mark.browser
def test_a_class_name_is_shown_as_text_and_not_as_markup(
    page: Page, tmp_path: Path, picture: Path
) -> None:
    from thaw.model import directory

    folder = tmp_path / "model"
    model_directory(folder)
    classifier, spec = directory.load(folder)
    names = ["<img src=x onerror=document.title='run'>", "a " * 60, "é"]
    directory.save(classifier, spec.model_copy(update={"classes": names}), folder)
    with running(str(folder)) as url:
        page.open(url, 360, 780)
        page.choose("#file", picture)
        page.wait("document.querySelectorAll('#classes li').length === 3")
        assert page.evaluate("document.querySelectorAll('#classes img').length") == 0
        assert page.evaluate("document.title") == "thaw: classify images"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_the_documentation_shows_the_endpoints_without_an_error(page: Page, url: str) -> None:
    page.problems.clear()
    page.open(f"{url}/docs", 1200, 780)
    page.wait("document.querySelectorAll('.opblock').length === 3")
    page.screenshot("docs")
    assert page.problems == []


def test_a_browser_runs_only_the_script_of_the_page(url: str) -> None:
    policy = requests.get(url, timeout=60).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_the_documentation_loads_every_file_from_the_service(url: str) -> None:
    answer = requests.get(f"{url}/docs", timeout=60)
    policy = answer.headers["Content-Security-Policy"]
    (scripts,) = (part for part in policy.split("; ") if part.startswith("script-src"))
    inline = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digests = [hashlib.sha256(script.encode()).digest() for script in inline]
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    assert scripts == f"script-src 'self' {hashes}"
    assert "http" not in policy
    links = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert len(links) == 3
    for link in links:
        assert "//" not in link
        if not link.startswith("data:"):
            assert requests.get(f"{url}/{link}", timeout=60).status_code == 200
    assert len(inline) == 2
    assert "openapi.json" in inline[1]
    assert "http" not in "".join(inline)

"""Tests of the documentation site, as a browser shows it from the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from tests.project import ROOT
from tests.serving.barriers import needs_axe, serious_barriers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.serving.browser import Page

pytestmark = pytest.mark.browser
_OUTSIDE = (
    "performance.getEntriesByType('resource')"
    ".map(e => e.name).filter(name => !/^(data|file|blob):/.test(name))"
)
# Pages with wide tables, code, drawings, and what the package generates.
KINDS = (
    "index.html", "tutorial.html", "architecture.html", "benchmarks.html", "serving.html",
    "how-to/own-images.html", "reference/commands.html", "reference/parameters.html",
    "reference/python.html", "troubleshooting.html",
)  # fmt: skip
_TOO_WIDE = "document.documentElement.scrollWidth > innerWidth"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True)
    return folder


def pages(site: Path) -> list[Path]:
    found = sorted(path for path in site.rglob("*.html") if path.name != "404.html")
    assert len(found) > 25
    return found


@needs_axe
@pytest.mark.parametrize("dark", [False, True])
def test_no_page_has_a_serious_barrier(page: Page, site: Path, *, dark: bool) -> None:
    barriers = {}
    page.open(pages(site)[0].as_uri(), 1280, 900)
    page.evaluate("localStorage.clear()")  # the scheme of the visit before
    for path in pages(site):
        page.open(path.as_uri(), 1280, 900, dark=dark)
        scheme = page.evaluate("document.body.dataset.mdColorScheme")
        assert scheme == ("slate" if dark else "default")
        # The scheme changes colours only.
        if found := serious_barriers(page, *(["color-contrast"] if dark else [])):
            barriers[path.relative_to(site).as_posix()] = found
    assert not barriers, json.dumps(barriers, indent=1)


@needs_axe
@pytest.mark.parametrize("dark", [False, True])
def test_pages_of_each_kind_have_no_serious_barrier_on_a_telephone(
    page: Page, site: Path, *, dark: bool
) -> None:
    page.open(pages(site)[0].as_uri(), 375, 800)
    page.evaluate("localStorage.clear()")
    for name in KINDS:
        page.open((site / name).as_uri(), 375, 800, dark=dark)
        assert page.evaluate("document.body.dataset.mdColorScheme") == (
            "slate" if dark else "default"
        )
        assert serious_barriers(page) == [], name
    page.evaluate("document.querySelector('label[for=__drawer].md-header__button').click()")
    page.wait("!document.getAnimations().length")
    assert serious_barriers(page) == []  # the list of pages, open in its section


def test_every_link_leads_to_a_file_of_the_site_and_to_a_place_in_it(
    page: Page, site: Path
) -> None:
    links, places = {}, {}
    for path in pages(site):
        page.open(path.as_uri(), 1280, 900)
        links[path] = page.evaluate("[...document.querySelectorAll('a[href]')].map(e => e.href)")
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        places[path.as_uri()] = {f"#{name}" for name in ids}
    dead = set()
    for path, found in links.items():
        for link in filter(lambda link: link.startswith("file:"), found):
            target, sign, name = unquote(link).partition("#")
            if target not in places or (name and f"#{name}" not in places[target]):
                dead.add(f"{path.relative_to(site)}: {target}{sign}{name}")
    assert dead == set()


def test_every_page_fits_a_telephone_and_loads_nothing_from_the_network(
    page: Page, site: Path
) -> None:
    too_wide, outside = [], {}
    for path in pages(site):
        page.open(path.as_uri(), 375, 800)
        name = path.relative_to(site).as_posix()
        if page.evaluate(_TOO_WIDE):
            too_wide.append(name)
        if found := page.evaluate(_OUTSIDE):
            outside[name] = found
        page.screenshot(f"site-{path.stem}-375")
    assert (too_wide, outside) == ([], {})

from __future__ import annotations

import re

from tests.project import ROOT
from thaw import __version__


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    sections = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == __version__
    assert all(re.fullmatch(r"\d+\.\d+(\.\d+)?", name) for name in sections)

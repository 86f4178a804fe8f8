"""The corpus of files of all kinds, through ``thaw init`` and ``dvc repro``."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.corpus import bombs, corpus
from tests.ingest.obstacles import KINDS, make_obstacles
from tests.project import environment
from thaw.data.packed_store import PackedStore

LABELS = ("ant", "bee", "cow")
FILES = 3330
QUARANTINE = "  on_error: quarantine\n  max_bad_fraction: 0.5\n"


def write_corpus(root: Path) -> set[str]:
    """Write ``FILES`` files and entries of all kinds below ``root``.

    Returns the paths of bad files that are images by name. All kinds are in one class, because
    different formats hold the same pixels.
    """
    bad = set()
    pictures = [*corpus(), *bombs()]
    count = 0
    for label in LABELS:
        (root / label).mkdir(parents=True)
    for copy in range(5):
        for picture in pictures:
            path = root / "ant" / f"{copy}-{picture.name}"
            path.write_bytes(picture.content)
            count += 1
            if picture.reason:
                bad.add(str(path.relative_to(root)))
    make_obstacles(root / "bee")
    (root / "cow" / "folder.png").symlink_to(root / "ant")
    (root / "outside.png").write_bytes(b"")
    bad |= {"cow/folder.png", "outside.png"}
    generator = np.random.default_rng(0)
    for number in range(FILES - count - len(KINDS) - 3):
        pixels = generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / LABELS[number % 3] / f"good-{number}.png")
    return bad


def run(*command: str, code: int = 0) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(), timeout=600, errors="replace"
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.soak
def test_all_bad_files_of_the_corpus_are_listed_and_with_quarantine_the_good_ones_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = write_corpus(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    run("thaw", "init", "project", "--images", "photos")
    monkeypatch.chdir(tmp_path / "project")
    params = Path("params.yaml").read_text()
    message = run("dvc", "repro", "prepare", code=255)
    assert "Traceback" not in message
    assert len(message.splitlines()) < 200
    listed = Path(".thaw/prepare/problems.txt").read_text().splitlines()
    assert len(listed) == len(bad) + len(KINDS) + 1
    for path in bad:
        assert any(line.startswith(f"data/raw/{path}: ") for line in listed)
    Path("params.yaml").write_text(params.replace("data:\n", f"data:\n{QUARANTINE}"))
    run("dvc", "repro", "prepare")
    report = json.loads(Path("reports/prepare/report.json").read_text())
    assert report["left_out"]["files"] == len(listed)
    assert report["images"] == FILES - len(listed) == len(PackedStore(Path("data/prepared")))
    assert "up to date" in run("dvc", "status", "prepare")
    assert os.access("dvc.lock", os.R_OK)

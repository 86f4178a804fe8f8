"""Take the screenshots of the documentation from a project: `python -m tools.screenshots`.

Run it in a project with a promoted result, such as the digits after `make run`. It needs
Chromium, and opens the report page, MLflow's pages and the page of the service.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow

from tests.serving.browser import browser
from thaw.config.loading import load
from thaw.config.params import Params
from tools.services.server_process import HOST, ServerProcess, answers, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving.browser import Page

_OUT = Path(__file__).parent.parent / "docs/images"
_WIDTH, _HEIGHT = 1280, 800
_TEXT = "document.body.innerText"
_TRAINING = "workflowType=machine_learning"
# The tools of a diagram lie over its curve, because a headless browser has no pointer beside it.
_HIDE_TOOLS = "document.querySelectorAll('.modebar').forEach(e => { e.style.display = 'none'; })"
_CLOSE_ASSISTANT = '[data-component-id="mlflow.assistant.chat_panel.close"]'


def main() -> None:
    """Write one PNG for each page into ``docs/images``."""
    name = load(Params).tracking.registered_model
    report = _report_page()
    # The browser ends a bit later than this program leaves the folder.
    profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with profile as folder, browser(Path(folder)) as page:
        page.open(report.as_uri(), _WIDTH, _HEIGHT)
        _save(page, "report")
        with _server("ui") as (address, log):
            runs = re.search(r"runs: (\S+)", log.read_text())
            assert runs, log.read_text()
            _open(page, runs[1], "log_loss")
            page.evaluate(f"document.querySelector('{_CLOSE_ASSISTANT}')?.click()")
            _save(page, "runs")
            _open(page, f"{address}/#/models/{name}?{_TRAINING}", "champion")
            _save(page, "registered_model")
            experiment = runs[1].partition("/experiments/")[2].partition("/")[0]
            run_id = _champion_run(name)
            run = f"{address}/#/experiments/{experiment}/runs/{run_id}/model-metrics?{_TRAINING}"
            _open(page, run, "val_loss")
            page.evaluate(_HIDE_TOOLS)
            _save(page, "run")
        with _server("serve", f"models:/{name}@champion") as (address, _):
            folders = sorted(Path(".thaw/digits").iterdir())[4:9]
            images = [min(folder.iterdir()) for folder in folders]
            page.open(address, _WIDTH, _HEIGHT)
            page.choose("input[type=file]", *(image.resolve() for image in images))
            page.wait(f"{_TEXT}.includes('%') && !{_TEXT}.includes('…')", 60)
            _save(page, "service")


def _report_page() -> Path:
    """Return the page that `thaw report` names, with what was decided on the version."""
    thaw = str(Path(sys.executable).with_name("thaw"))
    printed = subprocess.run([thaw, "report", "--json"], check=True, capture_output=True, text=True)
    return Path(json.loads(printed.stdout)["page"]).resolve()


def _open(page: Page, address: str, text: str) -> None:
    """Open a page of MLflow, and wait until it shows ``text`` and its pictures are drawn."""
    page.open(address, _WIDTH, _HEIGHT)
    page.wait(f"{_TEXT}.includes('{text}')", 60)
    time.sleep(2)


def _champion_run(name: str) -> str:
    client = mlflow.MlflowClient("sqlite:///mlruns/mlflow.db")
    return str(client.get_model_version_by_alias(name, "champion").run_id)


@contextmanager
def _server(verb: str, *arguments: str) -> Iterator[tuple[str, Path]]:
    """Run ``thaw VERB`` on a free port; yield its address and its output."""
    port, log = free_port(), Path.cwd() / f".{verb}.log"  # the server runs in the folder of its log
    thaw = str(Path(sys.executable).with_name("thaw"))
    server = ServerProcess([thaw, verb, *arguments, "--port", str(port)], os.environ, log)
    try:
        server.wait_until(lambda: answers(port))
        yield f"http://{HOST}:{port}", log
    finally:
        server.stop()
        log.unlink()


def _save(page: Page, name: str) -> None:
    found = page.call("Page.captureScreenshot")
    (_OUT / f"{name}.png").write_bytes(base64.b64decode(found["data"]))


if __name__ == "__main__":
    main()

"""A headless Chromium, driven through its DevTools pipe: no package is needed for it."""

from __future__ import annotations

import base64
import fcntl
import functools
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools.debian_packages import MissingPackageError, install

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking"),
)
_ANSWERS = ("loadingFinished", "loadingFailed")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@functools.cache
def executable() -> str:
    """Return the path of a browser that works; install Debian's package if there is none.

    Raises:
        MissingPackageError: there is none and it cannot be installed here, or it shows no page.
    """
    if (found := _installed()) is None:
        install(NAMES[0])
        found = _installed()
    if found is None:
        raise MissingPackageError(f"there is no browser ({', '.join(NAMES)}): install one")
    if reason := _why_broken(found):
        raise MissingPackageError(f"{found} does not show an empty page: {reason}")
    return found


def _why_broken(program: str) -> str | None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *_OPTIONS, f"--user-data-dir={profile}", "--dump-dom", "about:blank"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        except subprocess.TimeoutExpired as error:
            return str(error)
    return None if "<html>" in done.stdout else done.stderr[-300:] or f"code {done.returncode}"


def _installed() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """A tab; ``problems`` are the errors of its console and its loader."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = os.fdopen(reading, "rb", 0)
        self._writing = writing
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.problems: list[str] = []
        self._pending: dict[str, str] = {}  # addresses of the document's requests without an answer
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol; return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        name, params = event.get("method"), event.get("params", {})
        if name in {"Runtime.exceptionThrown", "Log.entryAdded"}:
            self.problems.append(json.dumps(params))
        elif name == "Network.requestWillBeSent" and params["loaderId"]:  # not that of a worker
            self._pending[params["requestId"]] = params["request"]["url"]
        elif name in {f"Network.{answer}" for answer in _ANSWERS}:
            self._pending.pop(params["requestId"], None)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 20.0) -> Any:
        """Wait until a JavaScript expression is truthy; return its value."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.evaluate(expression):
                return value
            time.sleep(0.05)
        raise AssertionError(
            f"{expression} stayed false: {self.evaluate('document.body.innerText')}\n"
            f"no answer yet: {[*self._pending.values()]}\nproblems: {self.problems}"
        )

    def open(self, url: str, width: int, height: int, *, dark: bool = False) -> None:
        """Open ``url`` in a window of ``width`` times ``height`` pixels.

        The page is loaded also where the present one differs after "#" alone: one that failed to
        load would stay as it is, and with it all tests of that server would fail.
        """
        self.call("Page.navigate", url="about:blank")
        self._pending.clear()
        self.problems.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def choose(self, selector: str, *paths: Path) -> None:
        """Choose files in a file input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=list(map(str, paths)), nodeId=node)

    def drop(self, selector: str, *paths: Path) -> None:
        """Drag files onto an element and drop them."""
        box = self.evaluate(
            f"(r => [r.x + r.width / 2, r.y + r.height / 2])"
            f"(document.querySelector('{selector}').getBoundingClientRect())"
        )
        data = {"items": [], "files": list(map(str, paths)), "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=box[0], y=box[1], data=data)

    def click(self, element: str) -> None:
        """Click with the mouse on the middle of what the JavaScript expression ``element`` is."""
        middle = (
            "(e => { if (!e) return; e.scrollIntoView({block: 'center'}); "
            "const r = e.getBoundingClientRect(); return r.width && "
            f"[r.x + r.width / 2, r.y + r.height / 2] }})({element})"
        )
        place, before = self.wait(middle), None
        while place != before:  # it moves while a dialog opens
            time.sleep(0.3)
            place, before = self.wait(middle), place
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent",
                type=kind, x=place[0], y=place[1], button="left", clickCount=1,
            )  # fmt: skip

    def type(self, text: str) -> None:
        """Type ``text`` and the Enter key into what has the focus."""
        self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r",
            )  # fmt: skip

    def screenshot(self, name: str) -> None:
        """Save the whole page as PNG for a person, if THAW_SCREENSHOTS names a folder for it."""
        if folder := os.environ.get("THAW_SCREENSHOTS"):
            found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
            Path(folder, f"{name}.png").write_bytes(base64.b64decode(found["data"]))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = self._reading.read(1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer


def page_of_tests(profile: Path) -> Iterator[Page]:
    """Yield a tab in a new browser; skip the test where there is none."""
    try:
        with browser(profile) as opened:
            yield opened
    except MissingPackageError as error:
        pytest.skip(str(error))


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Open a tab in a new browser.

    Raises:
        MissingPackageError: there is no browser, and it cannot be installed here.
    """
    name = executable()
    low_reads, we_write = os.pipe()
    we_read, low_writes = os.pipe()
    # The browser expects the pipes at descriptors 3 and 4. The pipes may have these numbers
    # themselves, so they are first copied to unused numbers above.
    browser_reads = fcntl.fcntl(low_reads, fcntl.F_DUPFD_CLOEXEC, 10)
    browser_writes = fcntl.fcntl(low_writes, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(low_reads)
    os.close(low_writes)

    def place() -> None:
        os.dup2(browser_reads, 3)
        os.dup2(browser_writes, 4)

    process = subprocess.Popen(
        [
            name,
            *_OPTIONS,
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ],
        preexec_fn=place,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(browser_reads)
    os.close(browser_writes)
    try:
        yield Page(we_read, we_write)
    finally:
        process.terminate()
        process.wait()
        os.close(we_write)

"""A service in a process of its own that is sent files; what it answers, and its memory."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from tests.data.peak import rise
from tests.data.pictures import plain
from tests.serving.service import running

if TYPE_CHECKING:
    from collections.abc import Callable


def main(model: str, files: list[str]) -> None:
    """Print a JSON list of (status, answer, megabytes) for each file."""
    with running(model) as url:

        def post(content: bytes) -> requests.Response:
            headers = {"Content-Type": "image/png"}
            return requests.post(f"{url}/predict", data=content, headers=headers, timeout=60)

        assert post(plain("PNG", "RGB", 40, 30)).status_code == 200
        told = []
        for file in files:
            answers: list[requests.Response] = []
            megabytes = rise(partial(_keep, answers, partial(post, Path(file).read_bytes())))
            told.append((answers[0].status_code, answers[0].json(), megabytes))
    print(json.dumps(told))


def _keep(answers: list[requests.Response], ask: Callable[[], requests.Response]) -> None:
    answers.append(ask())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

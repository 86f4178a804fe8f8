"""Odd values and mutations of params.yaml, and the way each one runs through thaw.

A file of parameters must be accepted, or refused with a ThawError of a few short lines, within
seconds: never a traceback, and no memory or processes without end.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.project import ROOT
from tests.stage_runs import run_stages
from thaw.cli import pipeline
from thaw.config.loading import load
from thaw.config.parameter import parameters
from thaw.config.params import Params
from thaw.config.result_values import flatten, value_of
from thaw.errors import ThawError
from thaw.stages import prepare
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_LINE, MOST_LINES = 1200, 25
SECONDS = 5.0

_NUMBERS = [
    "-1", "0", "1", "2", "1000000000", "1" + "0" * 400, "1" * 5000, "1e300", "1.0e+300", "5.0e-324",
    "-0.0", "0.001", ".nan", "-.inf", "1_000", "0x7fffffff", "0o17", "1e400", "12:30:45",
]  # fmt: skip
_TEXTS = [
    '""', '" "', ".", "..", "/", '"\\0"', '"\\e[31m"', '"\\ud800"', "a" * 100_000, "é/Ä", "../x",
    "%20", "a?b#c", "sqlite:////tmp", "sqlite:///", "ftp://x", "http://", "models:/", "models:/x@y",
    "x.pth", "~", "null", "2020-01-01", '"a\\nb"', "-", "timm/", "timm/resnet18.nope", "auto",
]  # fmt: skip
_OTHERS = [
    "true", "[]", "{}", "[[]]", "[1000000000]", "[65536, 65536]", "[0]", '["x"]', "[1, 1]",
    "[" + "1, " * 2000 + "1]", "{a: 1}", "[" * 1000 + "]" * 1000, "!!binary aGk=", "!!set {a, b}",
    "!!python/object:os.system x", "!!float x", "&a [*a]", "*nowhere", "? x",
]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """The result of a file: the refusal, or "" where it was accepted; and the seconds."""

    refusal: str
    seconds: float

    def faults(self) -> list[str]:
        """Return what is wrong with it."""
        found = []
        lines = self.refusal.splitlines()
        if self.seconds > SECONDS:
            found.append(f"{self.seconds:.1f} seconds")
        if len(lines) > MOST_LINES or any(len(line) > LONGEST_LINE for line in lines):
            found.append(f"a message of {len(lines)} lines, {len(self.refusal)} characters")
        if any(not (character.isprintable() or character == "\n") for character in self.refusal):
            found.append("control characters in a message")
        return found


def try_file(folder: Path, content: bytes) -> Outcome:
    """Run ``content`` as params.yaml of the project in ``folder``, the working directory.

    It goes through `thaw check` and, where that accepts it, through the first stage.
    """
    (folder / "params.yaml").write_bytes(content)
    start = time.process_time()  # of this process: other programs do not count
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            pipeline.check()
            prepare.main()
        except ThawError as error:
            return Outcome(str(error), time.process_time() - start)
    return Outcome("", time.process_time() - start)


class TimeUp(BaseException):
    """A training takes longer than the test; that is no fault of a long training."""


def run_through(folder: Path, content: bytes, seconds: float) -> Outcome:
    """Run ``content`` through `thaw check` and all stages, for at most ``seconds``."""

    def end(*_: object) -> None:
        raise TimeUp

    found = try_file(folder, content)
    if found.refusal:
        return found
    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            run_stages(folder, *STAGES[1:])
        except TimeUp:
            return Outcome("", 0.0)
        except ThawError as error:
            return Outcome(str(error), 0.0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)
    return Outcome("", 0.0)


def odd_values(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield ``count`` files in which one parameter has an odd value, each with a name."""
    generator = random.Random(seed)
    keys = [parameter.key for parameter in parameters(Params)]
    for number in range(count):
        key = keys[number % len(keys)]
        value = generator.choice([*_NUMBERS, *_TEXTS, *_OTHERS])
        yield f"{key}: {value[:60]}", _with_value(key, value).encode()


def mutations(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield ``count`` mutated files, each with a name."""
    generator = random.Random(seed)
    for number in range(count):
        text = generator.choice([SMALL, FULL])
        for _ in range(generator.randint(1, 4)):
            text = generator.choice(_MUTATIONS)(generator, text)
        yield f"mutation {number} of seed {seed}", text.encode("utf-8", "surrogatepass")


SMALL = """\
seed: 0
data:
  source: folder
  path: photos
  root: photos
backbone:
  name: lenet5
  weights: none
  image_size: 32
  crop_pct: 1.0
unfreeze:
  depth: 2
"""


def _with_value(key: str, value: str) -> str:
    """Return ``SMALL`` with the text ``value`` for ``key``."""
    content: dict[str, Any] = {}
    for name, known in _small_values().items():
        section, _, last = name.rpartition(".")
        content.setdefault(section, {})[last] = json.dumps(known)
    section, _, last = key.rpartition(".")
    content.setdefault(section, {})[last] = value
    lines = []
    for section, entries in content.items():
        for depth, part in enumerate(section.split(".") if section else []):
            lines.append("  " * depth + f"{part}:")
        indent = "  " * len(section.split(".")) if section else ""
        lines += [f"{indent}{name}: {text}" for name, text in entries.items()]
    return "\n".join(lines) + "\n"


def _small_values() -> dict[str, Any]:
    return {
        "seed": 0, "data.source": "folder", "data.path": "photos", "data.root": "photos",
        "backbone.name": "lenet5", "backbone.weights": "none", "backbone.image_size": 32,
        "backbone.crop_pct": 1.0, "unfreeze.depth": 2,
    }  # fmt: skip


def _full() -> str:
    """Return a file that has every parameter."""
    content = load(Params, ROOT / "params.yaml").model_dump()
    for key, value in _small_values().items():
        *sections, name = key.split(".")
        (content[sections[0]] if sections else content)[name] = value
    lines: list[str] = []

    def add(values: dict[str, Any], indent: str) -> None:
        for name, value in values.items():
            if isinstance(value, dict) and value:
                lines.append(f"{indent}{json.dumps(name) if '.' in name else name}:")
                add(value, indent + "  ")
            else:
                lines.append(f"{indent}{name}: {json.dumps(value)}")

    add(content, "")
    return "\n".join(lines) + "\n"


FULL = _full()


def _other_value(generator: random.Random, text: str) -> str:
    lines = text.splitlines()
    at = generator.randrange(len(lines)) if lines else 0
    if lines and ":" in lines[at]:
        name = lines[at].partition(":")[0]
        lines[at] = f"{name}: {generator.choice([*_NUMBERS, *_TEXTS, *_OTHERS])}"
    return "\n".join(lines) + "\n"


def _without_line(generator: random.Random, text: str) -> str:
    lines = text.splitlines()
    if lines:
        del lines[generator.randrange(len(lines))]
    return "\n".join(lines) + "\n"


def _twice(generator: random.Random, text: str) -> str:
    lines = text.splitlines()
    if lines:
        lines.insert(generator.randrange(len(lines)), generator.choice(lines))
    return "\n".join(lines) + "\n"


def _other_character(generator: random.Random, text: str) -> str:
    if not text:
        return text
    at = generator.randrange(len(text))
    new = generator.choice(
        ["", "\t", ":", "#", "'", '"', "[", "}", "\0", "\x85", "\ud800", "é", "&a "]
    )
    return text[:at] + new + text[at + 1 :]


def _other_indentation(generator: random.Random, text: str) -> str:
    lines = text.splitlines()
    if lines:
        at = generator.randrange(len(lines))
        lines[at] = generator.choice(["  ", " ", "\t", "", "- ", "? "]) + lines[at].lstrip()
    return "\n".join(lines) + "\n"


def _cut(generator: random.Random, text: str) -> str:
    return text[: generator.randrange(len(text) + 1)]


def _bomb(generator: random.Random, text: str) -> str:
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 12))
    return generator.choice([
        "l0: &l0 [x, x]\n" + levels + text,
        text + "deep: " + "{a: " * 1000 + "1" + "}" * 1000 + "\n",
        text + "x" * 100_000 + ": 1\n",
        text + "".join(f"unknown{i}: {i}\n" for i in range(2000)),
        text + "---\nseed: 1\n",
        text + "# " + "y" * 300_000 + "\n",
    ])  # fmt: skip


def _other_number(generator: random.Random, text: str) -> str:
    """Give a random parameter a value within its type and range, or a little outside of it."""
    values = flatten(Params())
    key = generator.choice(
        [key for key in values if not key.startswith(("search.space", "promote"))]
    )
    default = _default(key)
    if isinstance(default, bool) or not isinstance(default, int | float):
        return text
    value = generator.choice([default * 10, default + 1, default / 3, -default, default * 1e6])
    shown = int(value) if isinstance(default, int) else float(value)
    section, _, name = key.rpartition(".")
    return text + (f"{section}: {{{name}: {shown}}}\n" if section else f"{name}: {shown}\n")


def _default(key: str) -> Any:
    try:
        return value_of(Params().model_dump(), key)
    except KeyError:
        return None


_MUTATIONS = (
    _other_value, _other_value, _other_value, _without_line, _twice, _other_character,
    _other_indentation, _cut, _bomb, _other_number,
)  # fmt: skip

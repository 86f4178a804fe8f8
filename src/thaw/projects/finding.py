"""A finding of `thaw doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One fact about the machine or the project, and what to do where it is a problem."""

    subject: str
    state: State
    text: str
    remedy: str = ""

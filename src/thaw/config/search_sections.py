"""The section ``search`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from thaw.config.section import Count, Section


class Range(Section):
    """Numbers that a search draws from, both ends included."""

    low: float
    high: float
    log: bool


class Search(Section):
    """What `thaw search` tries, and what it looks for."""

    space: dict[str, Range | list[Any]]
    objective: Literal["log_loss", "accuracy", "macro_f1"]
    latency: bool
    pruner: Literal["hyperband", "successive_halving", "none"]
    views: Count
    confirm_seeds: Annotated[int, Field(ge=0)]
    storage: str

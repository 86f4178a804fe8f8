"""One line about a process of a stage that lost the connection to the others."""

from __future__ import annotations

import re
import sys

# What gloo and NCCL say, in errors that are plain RuntimeErrors: gloo's sources, "Gloo
# connectFullMesh failed", "Rank 1 failed to pass monitoredBarrier", the watchdog of NCCL.
_TEXTS = re.compile(r"\bgloo\b|monitoredBarrier|\bNCCL\b|ProcessGroup(Gloo|NCCL)", re.IGNORECASE)
_SOURCE = re.compile(r"^(\[\S*?:\d+\]|\[Rank \d+\]:?|Exception raised from .*)\s*")
# Errors of torch.distributed: a collective, the network, the store through which processes meet.
_CLASSES = ("DistBackendError", "DistNetworkError", "DistStoreError", "DistError")
_LONGEST = 200  # characters of the library's text


def lost_connection(error: BaseException) -> str | None:
    """Return the message about a lost, refused or timed out connection; None for other errors."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        if _is_of_connection(each):
            return (
                "another process of this stage has ended or does not answer "
                f"({_what_happened(str(each))}): run `dvc repro`, which continues from the last "
                "checkpoint"
            )
        each = each.__cause__ or each.__context__
    return None


def _is_of_connection(error: BaseException) -> bool:
    if not isinstance(error, RuntimeError):
        return False
    distributed = sys.modules.get("torch.distributed")  # without it there is no such error
    classes = [getattr(distributed, name, None) for name in _CLASSES]
    if any(isinstance(one, type) and isinstance(error, one) for one in classes):
        return True
    return type(error) is RuntimeError and _TEXTS.search(str(error)) is not None


def _what_happened(text: str) -> str:
    """Return the first sentence of a library's text, without the place in its source."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
    sentence = re.split(r"\.\s", _SOURCE.sub("", line), maxsplit=1)[0].rstrip(".")
    return sentence if len(sentence) <= _LONGEST else f"{sentence[:_LONGEST]} ..."

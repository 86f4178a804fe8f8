"""Say once that a request to the MLflow server failed and is repeated: that may take a minute.

The server repeats its own requests to the store of the artifacts first, and then the client those
to the server, both in silence.
"""

from __future__ import annotations

import logging

from thaw.system.console import say

_LOGGER = "urllib3.connectionpool"
_REPEATED = "Retry: %s"  # of a request that was answered with an error, logged for debugging
_PATH_OF_MLFLOW = "/mlflow"
PATH_OF_FILES = "/mlflow-artifacts"


class _Notice(logging.Filter):
    """A filter that reports the first repeated request, and lets no lines for debugging through."""

    def __init__(self) -> None:
        super().__init__()
        self._was_said = False

    def filter(self, record: logging.LogRecord) -> bool:
        address = record.getMessage() if record.msg == _REPEATED else ""
        if _PATH_OF_MLFLOW in address and not self._was_said:
            self._was_said = True
            what = " for files, whose store may be away," if PATH_OF_FILES in address else ""
            say(f"the MLflow server answered a request{what} with an error; waiting to repeat it")
        return record.levelno >= logging.WARNING


def report_repeated_requests() -> None:
    """Report the first request to an MLflow server that failed and is repeated, on stderr."""
    logger = logging.getLogger(_LOGGER)
    if not any(isinstance(each, _Notice) for each in logger.filters):
        logger.setLevel(logging.DEBUG)
        logger.addFilter(_Notice())

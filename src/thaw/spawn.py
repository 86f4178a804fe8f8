"""``accelerate launch``, but a user's mistake in a stage stays a line and an exit code.

Accelerate's own command ends in a traceback of the launcher, or in exit code 1, whatever the
stage said.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys

from accelerate.commands.launch import launch_command, launch_command_parser
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from thaw.errors import EXIT_CODE


def main(arguments: list[str]) -> int:
    """Run ``accelerate launch`` with ``arguments``; the exit code of the process that failed."""
    # Every process reports its own error; torchrun would repeat that it failed, at length.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    # ctrl-C reaches the stage too, which ends by itself: wait for it. (A signal that is ignored
    # would stay ignored in the stage; a handler is reset there.)
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        launch_command(launch_command_parser().parse_args(arguments))
    except subprocess.CalledProcessError as error:
        return error.returncode if error.returncode > 0 else 128 - error.returncode
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode != EXIT_CODE:
            print(f"process {rank} failed: exit code {failure.exitcode}", file=sys.stderr)  # noqa: T201
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException:  # torchrun has ended the processes
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

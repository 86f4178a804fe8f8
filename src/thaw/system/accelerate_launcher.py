"""``accelerate launch`` without a second process for a single one, and with the stage's exit code.

Accelerate's own command starts a single process from another one, which imports torch first. If the
stage fails, it prints a traceback of the launcher or ends with exit code 1.
"""

from __future__ import annotations

import contextlib
import logging
import os
import runpy
import signal
import sys
import threading
from typing import TYPE_CHECKING

from accelerate.commands.launch import launch_command, launch_command_parser
from accelerate.utils import prepare_simple_launcher_cmd_env

from thaw.errors import EXIT_CODE
from thaw.system.garbage_collection import collect_as_usual
from thaw.system.interrupts import CONTINUES, FIRST_MODULE, INTERRUPTED, SIGNALS, line_and_exit_code

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure


def main(arguments: list[str]) -> int:
    """Run ``accelerate launch`` with ``arguments``; return the exit code of a failed process."""
    options = launch_command_parser().parse_args(arguments)
    if options.num_processes > 1:
        return start_all(options)
    become(options)
    return 0


def become(options: Namespace) -> None:
    """Run the module in this process, with the environment that Accelerate gives a single one."""
    options.use_cpu = False  # else a configuration file would say; a GPU is used where there is one
    _, environment = prepare_simple_launcher_cmd_env(options)
    os.environ.update(environment)
    sys.argv[1:] = options.training_script_args
    runpy.run_module(options.training_script, run_name="__main__", alter_sys=True)


def start_all(options: Namespace) -> int:
    """Run the module in several processes; return the exit code of the first failed one, or 0."""
    import torch.distributed.run  # which gives its loggers their levels
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # Every process reports its own error; torchrun would repeat that it failed, at length.
    for name in [*logging.root.manager.loggerDict]:
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    # ctrl-C reaches the stage too, which ends by itself: wait for it. (A signal that is ignored
    # would stay ignored in the stage; a handler is reset there.)
    signal.signal(signal.SIGINT, lambda *_: None)
    options.training_script_args.insert(0, options.training_script)
    options.training_script = FIRST_MODULE
    collect_as_usual()
    try:
        with _signals_kept_from_children():
            launch_command(options)
    except ChildFailedError as error:
        rank, failure = _cause(error)
        if failure.exitcode != EXIT_CODE:
            print(f"process {rank} failed: exit code {failure.exitcode}", file=sys.stderr)  # noqa: T201
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException as error:  # torchrun has sent it to the processes, which have ended
        if error.sigval == signal.SIGTERM:  # at which they print nothing
            sys.stderr.write(line_and_exit_code(signal.SIGTERM, CONTINUES, is_verb=False)[0])
        return INTERRUPTED
    except (torch.distributed.DistNetworkError, torch.distributed.DistStoreError) as error:
        if (options.num_machines or 1) == 1:
            raise
        print(_missed(options, error), file=sys.stderr)  # noqa: T201
        return EXIT_CODE
    return 0


def _missed(options: Namespace, error: Exception) -> str:
    """Return the line that says that this machine has not met the others."""
    reason = str(error).strip().partition("\n")[0]
    return (
        f"error: the {options.num_machines} machines did not meet at {options.main_process_ip}:"
        f"{options.main_process_port} ({reason}): start the same stage on each of them, and check "
        f"main_process_ip and main_process_port in {options.config_file}"
    )


@contextlib.contextmanager
def _signals_kept_from_children() -> Iterator[None]:
    """Keep ``SIGNALS`` back in processes that this thread starts, until they release them.

    Python itself would print a traceback, or end without a line, for a signal that arrives before
    the first module of a process runs. A process inherits what the thread that starts it blocks;
    another thread receives the signals of this process, whose handlers run in this one.
    """
    ended = threading.Event()
    threading.Thread(target=ended.wait, name="signals", daemon=True).start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        ended.set()


def _cause(error: ChildFailedError) -> tuple[int, ProcessFailure]:
    """Return the process that failed first, with its failure.

    A process that loses the connection to another one ends with ``EXIT_CODE``; where both have
    ended, the other one is the cause.
    """
    rank, failure = error.get_first_failure()
    others = {r: f for r, f in error.failures.items() if f.exitcode not in {EXIT_CODE, INTERRUPTED}}
    if rank in others or not others:
        return rank, failure
    return min(others.items(), key=lambda item: item[1].timestamp)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

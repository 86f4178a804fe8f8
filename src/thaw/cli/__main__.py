"""Run the command line as ``python -m thaw.cli``, for programs that start it."""

import os
import sys

if __name__ == "__main__":
    # `python -m` puts the working directory first: a file of the project, such as random.py, would
    # hide a module. Nothing that Python has not loaded already may be imported before this line.
    package = os.path.realpath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 2))  # noqa: PTH118, PTH120
    if not sys.flags.safe_path and os.path.realpath(sys.path[0]) not in {package, ""}:
        del sys.path[0]
    from thaw.cli.main import main

    main()

"""Run the command line as ``python -m thaw.cli``, for programs that start it."""

from thaw.cli.main import main

if __name__ == "__main__":
    main()

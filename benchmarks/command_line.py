"""The command line of a benchmark: `--help` starts nothing, and unknown options are refused."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter


def parser(description: str | None) -> ArgumentParser:
    """Return a parser without options; ``description`` is the docstring of the benchmark."""
    return ArgumentParser(
        description=description, formatter_class=RawDescriptionHelpFormatter, allow_abbrev=False
    )

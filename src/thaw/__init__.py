"""Transfer learning for images as a reproducible, tracked, gated workflow.

The public Python API: ``thaw.load_model``, ``thaw.Project`` and ``thaw.ThawError``.
"""

# There is no import here: `python -m thaw.cli` runs this before it leaves the project's folder.
__version__ = "0.2.0"

# Type checkers read the names in `__init__.pyi`.
_MODULES = {"load_model": "thaw.api", "Project": "thaw.api", "ThawError": "thaw.errors"}


def __getattr__(name: str) -> object:
    """Import a public name when it is used first, so that ``import thaw`` takes no time."""
    if name not in _MODULES:
        raise AttributeError(f"module 'thaw' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])

"""Transfer learning for images as a reproducible, tracked, gated workflow."""

__version__ = "0.2.0"

"""NumPy on small arrays of duals inside kernels."""

from __future__ import annotations


def register() -> None:
    """Register the overloads of this file."""

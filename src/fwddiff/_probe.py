"""Asking a value of any class for an attribute that it may not have."""

from __future__ import annotations

from typing import Any


def probe(value: Any, name: str, default: Any = None) -> Any:
    """As `getattr`, for questions of ours: where a class of the user's answers by another exception than
    `AttributeError` (`__getattr__ = dict.__getitem__`), it has no such attribute either."""
    try:
        return getattr(value, name, default)
    except Exception:
        return default

"""Compiling without Python's garbage collector.

All that is made meanwhile is alive: looking through it again and again, and through all that the process
holds beside it, finds nothing, and took a quarter of the time of second derivatives where PyTorch is loaded.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Garbage waits until this is left. Where another thread leaves first, it waits less."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

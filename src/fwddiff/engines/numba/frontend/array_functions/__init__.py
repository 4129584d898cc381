"""NumPy on small arrays inside kernels, where Numba lacks it or derivatives cannot follow what it does.

Whatever works element by element is typed by the scalar function and left to Numba's array expressions,
which compile a whole formula into one loop (`elementwise`). Sums, products, constructors are loops of ours.
"""

from __future__ import annotations

from fwddiff.engines.numba.frontend.array_functions import (
    axes,
    construction,
    elementwise,
    linear_algebra,
    log_sums,
    methods,
    products,
    reductions,
)


def register() -> None:
    """Register the overloads of this folder; call it after the scalar rows are registered."""
    elementwise.register()
    for part in (axes, construction, linear_algebra, log_sums, products, reductions):
        part.register()
    methods.register()


__all__ = ["register"]

"""Two graphs, ours and PyTensor's own, compiled by one linker and run on the same values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytensor
from numpy.testing import assert_allclose
from pytensor.compile.mode import Mode, get_mode

# PyTensor's own graphs run by NumPy, ours in addition by Numba: PyTensor's C compiler would take minutes.
PYTHON = Mode("py", "fast_run")
MODES = {"numba": "NUMBA", "unfused": get_mode("NUMBA").excluding("fusion"), "python": PYTHON}
PLAIN = Mode("py", "fast_compile")


def compiled(variables: Sequence, outputs: object, mode: Mode | str) -> Callable:
    mode = MODES.get(mode, mode) if isinstance(mode, str) else mode
    return pytensor.function(list(variables), outputs, mode=mode, on_unused_input="ignore")


def assert_equal_graphs(variables, values, ours, native, mode="numba", rtol=1e-10) -> None:
    """Values, dtypes and shapes of two graphs (or lists of them), and what PyTensor knows of the shapes."""
    ours, native = (list(found) if isinstance(found, list | tuple) else [found] for found in (ours, native))
    assert len(ours) == len(native)
    found = compiled(variables, ours, mode)(*values)
    expected = compiled(variables, native, PLAIN)(*values)
    for graph, mine, theirs in zip(ours, found, expected, strict=True):
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        assert graph.type.ndim == mine.ndim
        assert all(size in (None, n) for size, n in zip(graph.type.shape, mine.shape, strict=True))
        assert_allclose(mine, theirs, rtol=rtol, atol=1e-12)


def operations(function: Callable) -> list[str]:
    """Names of the operations of a compiled graph."""
    return [str(node.op) for node in function.maker.fgraph.toposort()]


def random(*shape: int, low: float = 0.3, high: float = 1.5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape)

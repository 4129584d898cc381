"""Host × transformation × kind of argument × dtype. A cell compares fwddiff with the host's own operations,
or expects our error."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from hosts.conformance.kinds import KINDS, Kind

HOSTS = {
    "torch": "PyTorch",
    "jax": "JAX",
    "autograd": "HIPS autograd",
    "tensorflow": "TensorFlow",
    "pytensor": "PyTensor",
    "mlx": "MLX",
}
DTYPES = ("float64", "float32")
TOLERANCE = {"float64": 1e-10, "float32": 2e-4}
# In ordinary runs: kinds per transformation, and the kinds of those that compile most.
FEW = 2
REPRESENTATIVE = ("captured value", "struct of arrays")

# What a host can do with its own operations and we cannot: (host, transformation, kind) → what our error
# says; "" is any kind.
REFUSED: dict[tuple[str, str, str], str] = {
    ("torch", "export, strict", "struct of arrays"): "use strict=False for structs and keywords",
    ("tensorflow", "xla", ""): "XLA cannot compile a call back into Python. Use jit_compile=False",
    ("pytensor", "compiled function pickled", ""): "cannot be pickled; its kernel belongs to this process",
    **{("mlx", name, ""): "vmap and compile cannot call" for name in ("vmap", "compile", "compile of grad")},
}


class Cell(NamedTuple):
    host: str
    transformation: str
    kind: Kind
    dtype: str

    @property
    def refusal(self) -> str | None:
        """What our error says, where fwddiff cannot follow the host."""
        for kind in (self.kind.name, ""):
            if (self.host, self.transformation, kind) in REFUSED:
                return REFUSED[self.host, self.transformation, kind]
        return None


def installed(host: str) -> bool:
    return importlib.util.find_spec(host) is not None


def module(host: str) -> Any:
    return importlib.import_module(f"hosts.conformance.in_{host}")


def cells(host: str, everything: bool = True) -> Iterator[Cell]:
    """All cells of a host; or one dtype per kind of argument, and few kinds per transformation, in turns:
    one where transformations compile most. Every kind meets several transformations that way."""
    of = module(host)
    few = getattr(of, "FEW", FEW)
    representative = getattr(of, "REPRESENTATIVE", REPRESENTATIVE)
    for number, name in enumerate(of.TRANSFORMATIONS):
        dear, doubles = (name in getattr(of, which, ()) for which in ("DEAR", "FLOAT64_ONLY"))
        for kind in KINDS if everything else few_kinds(number, few, representative if dear else ()):
            if (name, kind.name) in getattr(of, "NOT_NATIVE", ()):
                continue
            dtypes = DTYPES if everything else (DTYPES[KINDS.index(kind) % 2],)
            for dtype in DTYPES[:1] if doubles else dtypes:
                yield Cell(host, name, kind, dtype)


def few_kinds(number: int, few: int, representative: tuple[str, ...]) -> list[Kind]:
    """Which kinds an ordinary run gives to the transformation of this number: one in turn where
    representatives are given, else few."""
    if representative:
        return [kind for kind in KINDS if kind.name == representative[number % len(representative)]]
    return [KINDS[(few * number + k) % len(KINDS)] for k in range(few)]


def check(cell: Cell) -> None:
    """Raise `AssertionError` unless the cell is as the host's own operations are, or as `REFUSED` says."""
    host = module(cell.host)
    run = host.TRANSFORMATIONS[cell.transformation]
    points = cell.kind.points(cell.dtype)
    native = lambda a, b: cell.kind.native(host.NAMESPACE, a, b)  # noqa: E731
    if cell.refusal is not None:
        with pytest.raises(Exception, match=cell.refusal):  # compilers put our error into one of theirs
            run(cell.kind.ours, host.arrays(points))
        return
    wanted, found = flat(run(native, host.arrays(points))), flat(run(cell.kind.ours, host.arrays(points)))
    assert len(found) == len(wanted)
    tolerance = getattr(host, "TOLERANCE", TOLERANCE)[cell.dtype]
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.shape == theirs.shape
        # These hosts' own `where` widens float32 gradients; ours keep the argument's dtype.
        kept = cell.host in ("autograd", "pytensor") and ours.dtype == np.dtype(cell.dtype)
        assert kept or ours.dtype == theirs.dtype, f"{ours.dtype} for {theirs.dtype} in {cell}"
        scale = max(1.0, float(np.max(np.abs(theirs), initial=0.0)))
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=tolerance, rtol=0)


def flat(result: Any) -> list[np.ndarray]:
    """All arrays of a nested result."""
    if isinstance(result, tuple | list):
        return [array for item in result for array in flat(item)]
    if hasattr(result, "detach"):
        result = result.detach()
    return [np.asarray(result)]

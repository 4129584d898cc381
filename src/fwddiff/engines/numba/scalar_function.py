"""The core function of a rule of numbers, for programs that Numba compiles (PyTensor's)."""

from __future__ import annotations

from typing import Any

import numba
from fwddiff._rule import Slot
from fwddiff.engines.numba import polls
from fwddiff.engines.numba.expressions import compile_function
from fwddiff.engines.numba.lanes import has_polls
from fwddiff.engines.numba.loops import leaf_type
from fwddiff.engines.numba.options import INLINED
from fwddiff.engines.numba.types import converter
from numba.np import numpy_support


def scalar_function(core: Any, inputs: tuple[Slot, ...], outputs: tuple[Slot, ...]) -> Any:
    """A Numba function of plain numbers that returns the tuple of the outputs, to be inlined by its
    caller. After a Ctrl-C it raises `KeyboardInterrupt`."""
    namespace: dict[str, Any] = {"core": core, "begin": polls.begin}
    first = "    begin()\n" if has_polls(core, tuple(map(leaf_type, inputs))) else ""
    for i, slot in enumerate(inputs):
        namespace[f"take{i}"] = converter(leaf_type(slot))
    for j, slot in enumerate(outputs):
        namespace[f"give{j}"] = converter(numpy_support.from_dtype(slot.dtype))
    parameters = ", ".join(f"x{i}" for i in range(len(inputs)))
    arguments = ", ".join(f"take{i}(x{i})" for i in range(len(inputs)))
    results = "".join(f"give{j}(r[{j}]), " for j in range(len(outputs)))
    text = f"def scalar({parameters}):\n{first}    r = core({arguments})\n    return ({results})\n"
    return numba.njit(compile_function("scalar", text, namespace), **INLINED)

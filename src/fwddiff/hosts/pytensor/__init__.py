"""PyTensor as a host, and with it PyMC: symbolic variables in, symbolic variables out.

_elementwise  rules of numbers: a `ScalarOp` inside PyTensor's `Elemwise`
_arrays       rules with sums or core axes: an `Op` of whole tensors
_derivation   which derived rule gives a cotangent, and how a rule was derived
_rewrites     values from the pass that computes partials; no derivatives that nobody uses
_numba        the Numba linker: machine code in both cases
_jax          the JAX linker: calls as JAX's arrays make them
"""

# PyTensor is an extra, which type checkers do not find.
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.builders import OpFromGraph
from pytensor.configdefaults import config
from pytensor.gradient import disconnected_grad
from pytensor.graph.basic import Variable
from pytensor.tensor.type import DenseTensorType

from fwddiff._errors import HostError
from fwddiff._rule import Rule
from fwddiff.hosts.pytensor import _jax, _numba, _rewrites
from fwddiff.hosts.pytensor._arrays import whole_arrays
from fwddiff.hosts.pytensor._derivation import Derivation
from fwddiff.hosts.pytensor._elementwise import elementwise

__all__ = ["apply", "checkpoint", "detach", "dtype", "float_dtype", "integer_dtype", "owns", "shape"]


def owns(leaf: object) -> bool:
    """Whether this is a variable of a PyTensor graph."""
    return isinstance(leaf, Variable)


def shape(leaf: Any) -> tuple[int | None, ...]:
    """Static shape: `None` for sizes that are known at run time only. Raises `HostError` as `dtype` does."""
    dtype(leaf)
    return leaf.type.shape


def dtype(leaf: Any) -> np.dtype:
    """Dtype of a dense tensor variable. Raises `HostError` for other types of variables and other dtypes."""
    if not isinstance(leaf.type, DenseTensorType):
        raise HostError(
            f"PyTensor's variable {leaf} has the type {leaf.type}; only dense tensors can be lent "
            "to fwddiff. Convert it, as with pytensor.sparse.dense_from_sparse or "
            "pytensor.tensor.tensor_from_scalar."
        )
    found = np.dtype(leaf.type.dtype)
    if found.kind not in "fiub" or found == np.float16:
        raise HostError(
            f"PyTensor's variable {leaf} has dtype {found}; convert it with x.astype('float64') (float32 and "
            "float64, integers and bools are served)."
        )
    return found


def integer_dtype() -> np.dtype:
    """Dtype of integer results."""
    return np.dtype(np.int64)


def float_dtype() -> np.dtype:
    """Dtype of float results of functions without float inputs: `pytensor.config.floatX`."""
    return np.dtype(config.floatX)


def detach(leaf: Any) -> Any:
    """The same values without a gradient."""
    dtype(leaf)
    return disconnected_grad(leaf)


def apply(rule: Rule, leaves: Sequence[Any]) -> list[Any]:
    """One tensor variable per output of the rule; gradients, `Rop`, shapes and `vectorize_graph` follow.

    `leaves` are one per input of the rule: tensor variables of the slot's dtype, or NumPy arrays and numbers,
    which are constants. Axes broadcast as in PyTensor: those whose size 1 is known when the graph is made.
    """
    inputs = [
        leaf if isinstance(leaf, Variable) else pt.constant(np.asarray(leaf, slot.dtype))
        for leaf, slot in zip(leaves, rule.inputs, strict=True)
    ]
    _jax.offer()
    derivation = Derivation(rule)
    take = elementwise if derivation.is_elementwise() and rule.scalar_function() else whole_arrays
    return take(derivation, inputs)


def checkpoint(function: Callable[..., tuple], leaves: Sequence[Any]) -> list[Any]:
    """The function's results as an `OpFromGraph`, whose gradient is one of the inputs: rewrites, which would
    merge what is computed twice, do not look inside."""
    inputs = [leaf.type() for leaf in leaves]
    outputs = [pt.as_tensor_variable(output) for output in function(*inputs)]
    return list(OpFromGraph(inputs, outputs)(*leaves, return_list=True))


del _numba, _rewrites  # imported for what they register

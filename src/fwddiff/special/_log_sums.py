"""Logarithms of sums of exponentials: functions of whole arrays, with the names and arguments of SciPy's.

On plain numbers they are SciPy's. Engines have forms of their own (`dual/_log_sums`, `engines/numba/frontend/
array_functions/log_sums`), whose values and derivatives keep their digits where one element is far above the
others.

Infinite entries: one of -inf does not count, and has slope 0. Where the largest is inf, the value of
`logsumexp` is inf, and those that are inf share the slope; where it is -inf, the value is the constant -inf.
"""

from typing import Any

from fwddiff._record import of_arrays


@of_arrays
def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """log(Σ b exp(a)), over all elements or along axes; with `return_sign`, log|Σ b exp(a)| and the sign."""
    from scipy import special

    return special.logsumexp(a, axis=axis, b=b, keepdims=keepdims, return_sign=return_sign)


@of_arrays
def softmax(x: Any, axis: Any = None) -> Any:
    """exp(x) / Σ exp(x), over all elements or along axes."""
    from scipy import special

    return special.softmax(x, axis=axis)


@of_arrays
def log_softmax(x: Any, axis: Any = None) -> Any:
    """log(softmax(x)), without its underflow."""
    from scipy import special

    return special.log_softmax(x, axis=axis)

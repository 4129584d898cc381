"""Derivatives of plain functions at plain arguments: derivative, gradient, jacobian, hessian and products
with them.

The names and their meaning follow DifferentiationInterface.jl (Dalle and Hill, arXiv 2505.05542). Each
operator takes the function and its arguments and differentiates with respect to one of them: the first, or
that of `argnum`, a position or a name (several give a tuple); the others are constants. Without arguments it
returns a function of them: `fd.gradient(f)(x)` is `fd.gradient(f, x)`, and remembers what it has decided for
the kinds of arguments that it has met. `f` may be a wrapped function or its `broadcast` or `sum`.

    argnum    the argument to differentiate by
    backend   an engine: "numba" compiles `f`, "numpy" runs it as it is, "auto" compiles unless `f` itself
              calls fwddiff
    chunk     most partials that travel in one pass
    out       an array that the derivative is written into and that is returned, where that is one array
    inplace   `f(out, x)` writes its result into `out`, which then holds the value (see `fwddiff._inplace`)
    sparsity  of `jacobian`, `hessian` and their `value_and_` forms: "detect", or a `scipy.sparse` or boolean
              array that says where entries are; the result is a `scipy.sparse.csr_array` with a row for each
              element of the result (of `x`) and a column for each of `x`
    check     whether a sparse result is compared with a directional derivative (`fwddiff.sparsity`)

Any other keyword argument is one of `f`, which is called with it.

Operators nest, with each other and with `rrule` and `frule`: a derivative inside a function that is
differentiated is differentiated too. Integers are taken as floats where the argument holds no float, and a
function that returns integers has the derivative zero.

    _point   a function at arguments of some kind: its rule, what moves       _forms    each operator's rule
    _calls   at once, curried, prepared                                       _fast     repeated calls
    _differences   what a prepared operator was not prepared for
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fwddiff._errors import ArgumentError
from fwddiff._operators._calls import Choice, Prepared, applied, prepared
from fwddiff._operators._forms import FORMS, LATER
from fwddiff._operators._named import with_named
from fwddiff._operators._point import Argnum
from fwddiff.sparsity import SparseDerivative


def derivative(
    f: Callable,
    x: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    **named: Any,
) -> Any:
    """df/dx of a function of a number; mirrors the result of `f` (`None` for what has no derivative)."""
    choice = Choice(argnum, backend, chunk)
    return applied("derivative", f, (x, *constants), choice, out, inplace, named)


def value_and_derivative(
    f: Callable,
    x: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    **named: Any,
) -> Any:
    """`(f(x), df/dx)`, in one pass."""
    choice = Choice(argnum, backend, chunk)
    return applied("value_and_derivative", f, (x, *constants), choice, out, inplace, named)


def pushforward(
    f: Callable,
    x: Any = LATER,
    tangent: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    **named: Any,
) -> Any:
    """Directional derivative of `f` at `x` along `tangent`, which mirrors `x`; mirrors the result of `f`."""
    choice = Choice(argnum, backend, chunk)
    return applied("pushforward", f, (x, tangent, *constants), choice, out, inplace, named)


def value_and_pushforward(
    f: Callable,
    x: Any = LATER,
    tangent: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    **named: Any,
) -> Any:
    """`(f(x), directional derivative)`, in one pass."""
    choice = Choice(argnum, backend, chunk)
    return applied("value_and_pushforward", f, (x, tangent, *constants), choice, out, inplace, named)


def pullback(
    f: Callable,
    x: Any = LATER,
    cotangent: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    **named: Any,
) -> Any:
    """Cotangent of `x` for a `cotangent` that mirrors the result of `f`."""
    choice = Choice(argnum, backend, chunk)
    return applied("pullback", f, (x, cotangent, *constants), choice, out, inplace, named)


def value_and_pullback(
    f: Callable,
    x: Any = LATER,
    cotangent: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    **named: Any,
) -> Any:
    """`(f(x), cotangent of x)`, in one pass."""
    choice = Choice(argnum, backend, chunk)
    return applied("value_and_pullback", f, (x, cotangent, *constants), choice, out, inplace, named)


def gradient(
    f: Callable,
    x: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    **named: Any,
) -> Any:
    """Gradient of a function that returns one number; mirrors `x`."""
    choice = Choice(argnum, backend, chunk)
    return applied("gradient", f, (x, *constants), choice, out, inplace, named)


def value_and_gradient(
    f: Callable,
    x: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    **named: Any,
) -> Any:
    """`(f(x), gradient)`, in one pass."""
    choice = Choice(argnum, backend, chunk)
    return applied("value_and_gradient", f, (x, *constants), choice, out, inplace, named)


def jacobian(
    f: Callable,
    x: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    sparsity: Any = None,
    check: bool | None = None,
    **named: Any,
) -> Any:
    """Derivatives of every element of an array (or number) by every element of `x`: shape = result + x."""
    choice = Choice(argnum, backend, chunk, sparsity, check)
    return applied("jacobian", f, (x, *constants), choice, out, inplace, named)


def value_and_jacobian(
    f: Callable,
    x: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    sparsity: Any = None,
    check: bool | None = None,
    **named: Any,
) -> Any:
    """`(f(x), jacobian)`, in one pass."""
    choice = Choice(argnum, backend, chunk, sparsity, check)
    return applied("value_and_jacobian", f, (x, *constants), choice, out, inplace, named)


def hessian(
    f: Callable,
    x: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    sparsity: Any = None,
    check: bool | None = None,
    **named: Any,
) -> Any:
    """Second derivatives of a function that returns one number: shape = x + x."""
    choice = Choice(argnum, backend, chunk, sparsity, check)
    return applied("hessian", f, (x, *constants), choice, out, inplace, named)


def value_and_hessian(
    f: Callable,
    x: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    sparsity: Any = None,
    check: bool | None = None,
    **named: Any,
) -> Any:
    """`(f(x), hessian)`, in one pass."""
    choice = Choice(argnum, backend, chunk, sparsity, check)
    return applied("value_and_hessian", f, (x, *constants), choice, out, inplace, named)


def value_gradient_and_hessian(
    f: Callable,
    x: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    **named: Any,
) -> Any:
    """`(f(x), gradient, hessian)`, in one pass. `out` is a pair of arrays."""
    choice = Choice(argnum, backend, chunk)
    return applied("value_gradient_and_hessian", f, (x, *constants), choice, out, named=named)


def hvp(
    f: Callable,
    x: Any = LATER,
    tangent: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    **named: Any,
) -> Any:
    """Hessian of `f` (which returns one number) times `tangent`; mirrors `x`."""
    choice = Choice(argnum, backend, chunk)
    return applied("hvp", f, (x, tangent, *constants), choice, out, inplace, named)


def value_and_hvp(
    f: Callable,
    x: Any = LATER,
    tangent: Any = LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    out: Any = None,
    inplace: bool = False,
    **named: Any,
) -> Any:
    """`(f(x), hessian times tangent)`, in one pass."""
    choice = Choice(argnum, backend, chunk)
    return applied("value_and_hvp", f, (x, tangent, *constants), choice, out, inplace, named)


_OPERATORS = {globals()[name]: form for name, form in FORMS.items()}


def prepare(
    operator: Callable,
    f: Callable,
    *args: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    chunk: int | None = None,
    sparsity: Any = None,
    check: bool | None = None,
    **named: Any,
) -> Prepared | SparseDerivative:
    """Decide and compile once what `operator(f, *args)` needs.

    Args:
        operator: `fd.gradient`, `fd.jacobian`, `fd.value_and_gradient`, … any operator of this package.
        f: The function.
        args: Arguments like those of later calls, whose values do not matter: x and the constants. The
            (co)tangent of `hvp`, `pushforward` and `pullback` may stand after x, as in the operator.
        argnum, backend, chunk, sparsity, check: As in the operator.
        named: Arguments of `f` by name. Keyword-only ones stay what they are here.

    Returns:
        `p`, a `Prepared` operator: `p(x, *constants)` is `operator(f, x, *constants)` without set-up work,
        `p(x, tangent, *constants)` where the operator takes one; `p(..., out=array)` writes into an array.
        With `sparsity` a `SparseDerivative`, called in the same way.

    Raises:
        ArgumentError: `operator` is none, or what the operator itself refuses.
    """
    form = _OPERATORS.get(operator)
    if form is None:
        raise ArgumentError(f"{operator!r} is no operator: prepare one of fd.{', fd.'.join(FORMS)}.")
    if not args:
        raise ArgumentError(f"prepare needs arguments like those of later calls: (fd.{form.name}, f, x).")
    if named:
        f, args = with_named(form, f, args, named)
    return prepared(form, f, args, Choice(argnum, backend, chunk, sparsity, check))

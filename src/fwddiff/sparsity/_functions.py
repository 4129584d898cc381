"""NumPy's functions on traced numbers and arrays."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff import dual
from fwddiff._errors import DerivativeError
from fwddiff.sparsity._order import Order, linear, nonlinear, order_of
from fwddiff.sparsity._tape import CONSTANT, FIRST, FIXED
from fwddiff.sparsity._values import (
    Fields,
    apply,
    as_objects,
    by_row,
    found,
    from_objects,
    ids_of,
    make,
    opaque,
    operand,
    plain,
)

Handler = Callable[..., Any]
_STEPS = Order((), ())

# They move elements of their first argument, and may put zeros between; other arguments say how.
_MOVES: tuple[Any, ...] = (
    *(np.reshape, np.ravel, np.transpose, np.squeeze, np.expand_dims, np.broadcast_to, np.diag, np.diagonal),
    *(np.moveaxis, np.swapaxes, np.rollaxis, np.flip, np.fliplr, np.flipud, np.roll, np.rot90, np.tile),
    *(np.repeat, np.tril, np.triu, np.take, np.take_along_axis, np.delete, np.copy, np.atleast_1d),
    *(np.atleast_2d, np.atleast_3d, np.real, np.matrix_transpose, np.diagflat, np.permute_dims),
    *(np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit),
    *(np.concatenate, np.stack, np.vstack, np.hstack, np.dstack, np.column_stack),
)  # fmt: skip
_OF_LISTS = frozenset({np.concatenate, np.stack, np.vstack, np.hstack, np.dstack, np.column_stack})
_LIKE = frozenset({np.zeros_like, np.ones_like, np.empty_like, np.full_like})
# Reductions along axes, and whether their terms have second derivatives with each other.
_REDUCTIONS: dict[Any, bool] = {
    **dict.fromkeys((np.sum, np.mean, np.max, np.min, np.amax, np.amin, np.nansum, np.nanmean), False),
    **dict.fromkeys((np.nanmax, np.nanmin, np.ptp, np.median), False),
    **dict.fromkeys((np.prod, np.var, np.std, np.nanvar, np.nanstd, np.nanprod), True),
}
# Of arrays' shapes and kinds, not of their numbers.
_OF_SHAPES = frozenset(
    {np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type, np.may_share_memory}
)
_MOST_PRODUCTS = 20_000_000


# --- universal functions ------------------------------------------------------------------------------------


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What `__array_ufunc__` has to return."""
    out = options.pop("out", None)
    if options.pop("where", True) is not True:
        raise DerivativeError(
            f"numpy.{ufunc.__name__} with where= leaves elements undefined: use numpy.where."
        )
    options = {name: x for name, x in options.items() if name not in ("casting", "order", "subok")}
    inputs = tuple(map(operand, inputs))
    if method == "at":
        return _written_back(ufunc.at, inputs, {})
    forms = {"__call__": _call, "reduce": _reduce, "outer": _outer}
    form = forms.get(method, functools.partial(_unknown, method))
    result = form(ufunc, *inputs, **options)
    target = out[0] if isinstance(out, tuple) else out
    return result if target is None else _write(target, result)


def _write(target: Any, result: Any) -> Any:
    if not isinstance(target, Fields):
        raise DerivativeError("a plain array cannot hold what depends on the inputs: make it by numpy.zeros.")
    target[...] = result  # type: ignore[index]
    return target


def _call(ufunc: np.ufunc, *inputs: Any, dtype: Any = None, **options: Any) -> Any:
    if ufunc is np.matmul:
        return product(*inputs)
    if ufunc.signature is not None or options:
        return _general(ufunc, inputs, options)
    if ufunc.nout > 1:
        return tuple([_part(ufunc, k, inputs) for k in range(ufunc.nout)])
    value = ufunc(*map(plain, inputs))
    if np.asarray(value).dtype.kind != "f":
        return apply(ufunc, _STEPS, inputs)
    return by_row(ufunc, inputs)


def _part(ufunc: np.ufunc, k: int, inputs: Sequence[Any]) -> Any:
    """One of several results."""
    steps = np.asarray(ufunc(*map(plain, inputs))[k]).dtype.kind != "f"
    return apply(lambda *x: ufunc(*x)[k], _STEPS if steps else nonlinear(len(inputs)), inputs)


def _reduce(ufunc: np.ufunc, x: Any, axis: Any = 0, keepdims: Any = False, **options: Any) -> Any:
    try:
        coupled = bool(order_of(dual.row_of(ufunc)).second)
    except DerivativeError:
        coupled = True
    return _reduced(ufunc.reduce, coupled, x, axis=axis, keepdims=_given(keepdims, False), **options)


def _outer(ufunc: np.ufunc, a: Any, b: Any) -> Any:
    return ufunc(np.reshape(a, np.shape(a) + (1,) * np.ndim(b)), b)


def _unknown(method: str, ufunc: np.ufunc, *inputs: Any, **options: Any) -> Any:
    return _general(getattr(ufunc, method), inputs, options)


# --- functions ----------------------------------------------------------------------------------------------


def call_function(function: Any, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """What `__array_function__` has to return."""
    if function in _OF_SHAPES:
        return function(*map(plain, arguments), **options)
    out = options.pop("out", None)
    handler = _handlers().get(function)
    result = handler(*arguments, **options) if handler else _general(function, arguments, options)
    return result if out is None else _write(out, result)


@functools.cache
def _handlers() -> dict[Any, Handler]:
    table: dict[Any, Handler] = {f: functools.partial(_moved, f) for f in _MOVES}
    table |= {f: functools.partial(_filled, f) for f in _LIKE}
    table |= {f: functools.partial(_reduced, f, coupled) for f, coupled in _REDUCTIONS.items()}
    table |= dict.fromkeys((np.dot, np.matmul), product)
    table |= {np.where: _where, np.clip: _clip, np.interp: _interpolated, np.copyto: _copy_to}
    table |= dict.fromkeys((np.round, np.around), _rounded)
    table |= {np.linalg.norm: functools.partial(_reduced, np.linalg.norm, True)}
    return table | {
        np.nan_to_num: lambda x, *a, **o: apply(np.nan_to_num, linear(1), [x]),
        np.append: _append,
    }


def _moved(function: Any, x: Any, *arguments: Any, **options: Any) -> Any:
    """Values and ids alike."""
    if function in _OF_LISTS:
        x = [operand(item) for item in x]
        ids: Any = [np.broadcast_to(ids_of(item), np.shape(plain(item))) for item in x]
    else:
        x = operand(x)
        # Those of an array themselves: where the values are a view, the ids have to be one.
        ids = np.asarray(x.ids) if isinstance(x, Fields) else np.zeros(np.shape(x), int)
    traced = found([x, *arguments, *options.values()])
    arguments = tuple(map(index, arguments))
    options = {name: index(item) for name, item in options.items()}
    values = function(plain(x), *arguments, **options)
    moved = function(ids, *arguments, **options)
    if isinstance(values, list | tuple):
        return [make(v, i, traced[0].tape) for v, i in zip(values, moved, strict=True)]
    return make(values, moved, traced[0].tape)


def index(x: Any) -> Any:
    """What says which elements, by its values."""
    if type(x) is int or (type(x) is tuple and all(type(k) is int for k in x)):
        return x
    if isinstance(x, tuple | list):
        return type(x)(map(index, x))
    if isinstance(x, slice):
        return slice(*(index(part) for part in (x.start, x.stop, x.step)))
    if isinstance(x, Fields):
        if np.any(np.asarray(x.ids)):
            x.tape.decided()
        return x.value
    return x


def _filled(function: Any, x: Any, *arguments: Any, **options: Any) -> Any:
    items = found([x, *arguments, *options.values()])
    value = function(plain(x), *map(plain, arguments), **{name: plain(o) for name, o in options.items()})
    fill = arguments[0] if arguments else options.get("fill_value", 0)
    ids = ids_of(fill) if function is np.full_like else 0
    return make(value, np.array(np.broadcast_to(ids, value.shape)), items[0].tape)


def _append(x: Any, values: Any, axis: Any = None) -> Any:
    if axis is None:
        x, values, axis = np.ravel(x), np.ravel(operand(values)), 0
    return np.concatenate([x, values], axis=axis)


def _reduced(function: Any, coupled: bool, x: Any, *arguments: Any, **options: Any) -> Any:
    """Along the axes, every element of the result depends on all that it was made of."""
    x = operand(x)
    if arguments:
        options |= dict(zip([*inspect.signature(function).parameters][1:], arguments, strict=False))
    extra = {name: o for name, o in options.items() if found([o])}
    if extra or not isinstance(x, Fields):
        return _general(function, (x,), options)
    value = function(x.value, **options)
    parents = _by_result(np.asarray(x.ids), options.get("axis"))
    if np.asarray(value).dtype.kind != "f":
        ids = x.tape.elements(_STEPS, [parents.max(axis=1, initial=0)])
    else:
        ids = x.tape.rows(parents, coupled)
    return make(value, ids.reshape(np.shape(value)), x.tape)


def _by_result(ids: np.ndarray, axis: Any) -> np.ndarray:
    """A row for every element of the result."""
    axes = range(ids.ndim) if axis is None else [a % ids.ndim for a in np.atleast_1d(axis)]
    kept = [a for a in range(ids.ndim) if a not in axes]
    count = math.prod(ids.shape[a] for a in axes)
    return ids.transpose([*kept, *axes]).reshape(math.prod(ids.shape[a] for a in kept), count)


def product(a: Any, b: Any) -> Any:
    """`a @ b`, by all products of elements: those with a zero that stays drop out."""
    if dual.is_sparse(a):
        return _sparse_product(a, b)
    if dual.is_sparse(b):
        return np.transpose(_sparse_product(b.T, np.transpose(a)))
    a, b = operand(a), operand(b)
    if not np.ndim(a) or not np.ndim(b):
        return a * b
    left = np.shape(a) if np.ndim(a) > 1 else (1, *np.shape(a))
    right = np.shape(b) if np.ndim(b) > 1 else (*np.shape(b), 1)
    np.matmul(np.empty(np.shape(a)), np.empty(np.shape(b)))  # NumPy's own error
    if np.ndim(a) > 2 or np.ndim(b) > 2 or left[0] * left[1] * right[1] > _MOST_PRODUCTS:
        return _general(np.matmul, (a, b), {})
    terms = np.reshape(a, (*left, 1)) * np.reshape(b, (1, *right))
    kept = (*np.shape(a)[:-1], *np.shape(b)[1:])
    return np.reshape(np.sum(terms, axis=1), kept) if kept else np.sum(terms)


def _sparse_product(matrix: Any, x: Any) -> Any:
    """`matrix @ x`: to each row, its first entry's term, its second's, and so on."""
    entries = matrix.tocsr()
    entries @ np.zeros(np.shape(x))  # SciPy's own error
    starts, lengths = entries.indptr[:-1], np.diff(entries.indptr)
    result = np.zeros_like(x, shape=(entries.shape[0], *np.shape(x)[1:]))
    for k in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero(lengths > k)
        places = starts[rows] + k
        factors = entries.data[places].reshape(-1, *[1] * (np.ndim(x) - 1))
        result[rows] = result[rows] + factors * x[entries.indices[places]]
    return result


def _where(condition: Any, *choices: Any) -> Any:
    if not choices:
        return opaque(np.where, (condition,), {})
    return apply(np.where, Order((1, 2), ()), [condition, *choices])


def _clip(x: Any, *bounds: Any, **options: Any) -> Any:
    low, high = (*bounds, None, None)[:2]
    low, high = options.get("a_min", options.get("min", low)), options.get("a_max", options.get("max", high))
    for bound, choose in ((low, np.maximum), (high, np.minimum)):
        x = x if bound is None or bound is np._NoValue else choose(x, bound)
    return x


def _interpolated(x: Any, xp: Any, fp: Any, *arguments: Any, **options: Any) -> Any:
    table = found([xp, fp, *arguments, *options.values()])
    if any(np.any(np.asarray(item.ids) >= FIRST) for item in table):
        return opaque(np.interp, (x, xp, fp, *arguments), options)
    tables = [plain(item) for item in (xp, fp, *arguments)]
    options = {name: plain(item) for name, item in options.items()}
    tape = found([x, *table])[0].tape
    constant = make(0.0, CONSTANT if table else FIXED, tape)
    return apply(lambda at, _: np.interp(at, *tables, **options), Order((0,), ()), [x, constant])


def _rounded(x: Any, decimals: int = 0, **_: Any) -> Any:
    return apply(lambda part: np.round(part, decimals), _STEPS, [x])


def _copy_to(dst: Any, src: Any, **_: Any) -> None:
    _write(dst, src)


def _given(option: Any, default: Any) -> Any:
    return default if option is None or option is np._NoValue else option


# --- all others ---------------------------------------------------------------------------------------------


def _general(function: Any, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """By arrays of traced numbers as objects, where NumPy can; the values have to come out the same."""
    known = opaque(function, arguments, options)
    if known is None:
        return _written_back(function, arguments, options)
    if not _holds_floats(known):
        return known
    try:
        objects = function(*map(as_objects, arguments), **{n: as_objects(o) for n, o in options.items()})
        result = from_objects(objects)
        if not isinstance(objects, Fields) and _same(result, known):
            return result
        return objects if isinstance(objects, Fields) and _same(objects, known) else known
    except Exception:  # whatever NumPy raises of objects
        return known


def _holds_floats(x: Any) -> bool:
    items = x if isinstance(x, list | tuple) else [x]
    return any(np.asarray(plain(item)).dtype.kind == "f" for item in items)


def _same(a: Any, b: Any) -> bool:
    if isinstance(b, list | tuple):
        return isinstance(a, list | tuple) and len(a) == len(b) and all(map(_same, a, b))
    a, b = np.asarray(plain(a)), np.asarray(plain(b))
    return a.shape == b.shape and np.allclose(a.astype(float), b, equal_nan=True)


def _written_back(function: Any, arguments: Sequence[Any], options: dict[str, Any]) -> None:
    """A function that writes into its arguments."""
    objects = [as_objects(a) for a in arguments]
    function(*objects, **options)
    for target, changed in zip(arguments, objects, strict=True):
        if isinstance(target, Fields) and np.ndim(target.value):
            target[...] = from_objects(changed)  # type: ignore[index]

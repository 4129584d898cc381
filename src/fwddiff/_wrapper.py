"""`fwddiff(f)`: the callable that users hold. One call, top to bottom:

bind arguments → captured values → leaves → whose arrays? → the rule for leaves of these kinds → the host records it.
"""

from __future__ import annotations

import functools
import importlib
import types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fwddiff import _capture, _host, _tree
from fwddiff._errors import ArgumentError
from fwddiff._function import Target
from fwddiff._problem import Problem
from fwddiff._rule import Mode, Passes, Rule, Slot
from fwddiff._signature import core_ndims

_ENGINES = ("auto", "numba", "numpy")


class FwdDiff:
    """A function whose pullback every host computes with forward-mode dual numbers. Made by `fwddiff.fwddiff`."""

    def __init__(
        self, function: Callable, engine: str, wrt: Any, mode: Mode, passes: Passes, chunk: int | None
    ):
        self.target = Target(function)
        self.engine, self.mode, self.passes, self.chunk = engine, mode, passes, chunk
        self.wrt = self.target.positions(wrt)
        self.options = {"engine": engine, "wrt": wrt, "mode": mode, "passes": passes, "chunk": chunk}
        self._plan: _capture.Function | None = None
        self._rules: dict = {}
        self._operations = {kind: Operation(self, kind) for kind in ("whole", "broadcast", "sum")}
        functools.update_wrapper(self, function, updated=())

    @property
    def __fwddiff_function__(self) -> Callable:
        return self.target.original

    def __call__(self, *args, **kwargs):
        """The value `f(*args, **kwargs)`; arrays are whole arguments. Differentiable in the host of the arguments."""
        return self._operations["whole"](*args, **kwargs)

    @property
    def broadcast(self) -> Operation:
        """`f` applied element by element, with NumPy's broadcasting, in one fused kernel.

        Structs are structs of arrays, in arguments and in results. `signature="(n),()->()"` gives arguments core axes that `f`
        sees as small arrays, as in `numpy.vectorize`.
        """
        return self._operations["broadcast"]

    @property
    def sum(self) -> Operation:
        """The sum of `broadcast` over all elements, without an array of the elements' results or partials."""
        return self._operations["sum"]

    def __get__(self, instance: Any, owner: type | None = None) -> FwdDiff:
        if instance is None:
            return self
        return FwdDiff(types.MethodType(self.target.original, instance), **_without_self(self.options))

    def __repr__(self) -> str:
        return f"fwddiff({self.target.name})"

    def __reduce__(self):
        return _rebuild, (self.target.original, self.options)

    # --- how a call becomes a rule ------------------------------------------------------------------------------------

    def plan(self) -> _capture.Function:
        """What the function captures, found again if a name leads to another function now."""
        if self._plan is None or not self._plan.current():
            self._plan = _capture.plan(self.target.function, lambda value: _host.owner(value) is not None)
            self._rules.clear()
        return self._plan

    def prepare(self, kind: str, args: tuple, kwargs: dict[str, Any]) -> Call:
        """Everything a host or the rule layer needs to evaluate or differentiate this call."""
        signature = kwargs.pop("signature", None) if kind != "whole" else None
        arguments = self.target.bind(args, kwargs)
        plan = self.plan()
        leaves, spec = _tree.flatten(arguments)
        captured = [_tree.flatten(value) for value in plan.values()]
        captured_leaves = [leaf for values, _ in captured for leaf in values]
        where = _Where(self, kind, spec, plan, [s for _, s in captured])
        host = _host.common_owner((*leaves, *captured_leaves), self.target.name)
        kinds = [_leaf_kind(leaf, host, where, k) for k, leaf in enumerate((*leaves, *captured_leaves))]
        ndims = self._core_ndims(kind, signature, kinds, where)
        key = (kind, spec, tuple(s for _, s in captured), tuple(kinds), tuple(ndims), _canonical(host))
        rule = self._rules.get(key)
        if rule is None:
            rule = self._rules[key] = self._rule(kind, where, kinds, ndims, host)
        dynamic = [k for k, leaf in enumerate(kinds) if leaf.dtype is not None]
        every = (*leaves, *captured_leaves)
        inputs = [every[k] if where.wanted(k) else _detached(every[k], host) for k in dynamic]
        return Call(rule, inputs, dynamic, host, spec, arguments)

    def _core_ndims(self, kind, signature, kinds, where) -> list[int]:
        if kind == "whole":
            return [leaf.ndim for leaf in kinds]
        ndims = core_ndims(signature, where.owners(), self.target) if signature else [0] * len(kinds)
        for k, capture in where.tables():
            ndims[k] = kinds[k].ndim if capture.is_table else 0
        return ndims

    def _rule(self, kind, where, kinds, ndims, host) -> Rule:
        float_dtype = _float_dtype(kinds, host)
        inputs, statics = [], {}
        for k, (leaf, ndim) in enumerate(zip(kinds, ndims, strict=True)):
            if leaf.dtype is None:
                statics[k] = leaf.static
                continue
            dtype = float_dtype if leaf.weak and leaf.dtype.kind == "f" else leaf.dtype
            inputs.append(Slot(dtype, ndim, dtype.kind == "f" and where.wanted(k)))
        problem = Problem(
            where.plan,
            where.arguments,
            tuple(where.captured),
            statics,
            tuple(inputs),
            "sum" if kind == "sum" else None,
            float_dtype,
            np.dtype(np.int64) if host is None else host.integer_dtype(),
            self.mode,
            self.passes,
            self.chunk,
        )
        return self.engine(problem) if callable(self.engine) else _engine(self.engine).rule(problem)


class Operation:
    """One way to call a wrapped function: `whole`, `broadcast` or `sum`."""

    def __init__(self, wrapped: FwdDiff, kind: str):
        self.wrapped, self.kind = wrapped, kind
        self.__name__ = wrapped.target.name if kind == "whole" else f"{wrapped.target.name}.{kind}"

    def __call__(self, *args, **kwargs):
        if self.kind == "whole" and self._is_plain(args, kwargs):
            return self.wrapped.target.original(*args, **kwargs)
        call = self.wrapped.prepare(self.kind, args, kwargs)
        if call.host is None:
            outputs = [output[()] for output in call.rule([np.asarray(leaf) for leaf in call.inputs])]
        else:
            outputs = call.host.apply(call.rule, call.inputs)
        return _tree.unflatten(call.result_tree(), outputs)

    def prepare(self, *args, **kwargs) -> Call:
        return self.wrapped.prepare(self.kind, args, kwargs)

    def _is_plain(self, args: tuple, kwargs: dict) -> bool:
        """No array of a host anywhere: the value is `f`'s own."""
        leaves, _ = _tree.flatten(
            (args, kwargs, self.wrapped.target.preset_args, self.wrapped.target.preset_kwargs)
        )
        if any(_host.owner(leaf) is not None for leaf in leaves):
            return False
        captured = [leaf for value in self.wrapped.plan().values() for leaf in _tree.flatten(value)[0]]
        return all(_host.owner(leaf) is None for leaf in captured)

    def __repr__(self) -> str:
        return f"fwddiff({self.wrapped.target.name})" + ("" if self.kind == "whole" else f".{self.kind}")


class Call(NamedTuple):
    """A prepared call: the rule, its inputs, and where they came from (`dynamic`: leaf number of each input)."""

    rule: Rule
    inputs: list
    dynamic: list[int]
    host: Any
    spec: Any
    arguments: tuple

    def result_tree(self):
        tree = self.rule.__dict__.get("_result_tree")
        if tree is None:
            tree = self.rule._result_tree = self.rule.result_tree()
        return tree


class _Leaf(NamedTuple):
    """What the choice of a rule depends on: dtype and axes of an array or number, or a static value."""

    dtype: np.dtype | None
    ndim: int = 0
    weak: bool = False
    static: Any = None


class _Where(NamedTuple):
    """Names the leaves of a call, for messages and for `wrt`."""

    wrapped: FwdDiff
    kind: str
    arguments: Any
    plan: _capture.Function
    captured: Sequence[Any]

    def owners(self) -> list[int]:
        """Argument position of each argument leaf."""
        return [k for k, child in enumerate(self.arguments.children()) for _ in range(child.num_leaves)]

    def wanted(self, leaf: int) -> bool:
        """Whether `wrt` asks for this leaf; captured values always are."""
        wrt = self.wrapped.wrt
        return wrt is None or leaf >= self.arguments.num_leaves or self.owners()[leaf] in wrt

    def tables(self):
        """(leaf number, capture) of all leaves of captured values."""
        leaf = self.arguments.num_leaves
        for spec, capture in zip(self.captured, self.plan.captures, strict=True):
            for _ in range(spec.num_leaves):
                yield leaf, capture
                leaf += 1

    def name(self, leaf: int) -> str:
        if leaf >= self.arguments.num_leaves:
            return f"captured {dict(self.tables())[leaf].name!r}"
        position = self.owners()[leaf]
        path = _tree.leaf_paths(self.arguments)[leaf].partition("]")[2]
        return f"argument {self.wrapped.target.argument_name(position)}{path and f' at {path}'}"


def _leaf_kind(leaf: Any, host, where: _Where, number: int) -> _Leaf:
    try:
        if host is not None and host.owns(leaf):
            return _Leaf(host.dtype(leaf), len(host.shape(leaf)))
        if isinstance(leaf, bool | int | float | np.generic | np.ndarray | complex):
            weak = type(leaf) in (int, float)
            dtype = _host.plain_dtype(leaf)
            if host is not None:
                dtype = host.integer_dtype() if type(leaf) is int else _canonical_dtype(host, dtype)
            return _Leaf(dtype, np.ndim(leaf), weak)
    except (ArgumentError, TypeError) as error:
        raise type(error)(f"{where.wrapped.target.name}, {where.name(number)}: {error}") from error
    return _Leaf(None, static=leaf)


def _canonical_dtype(host, dtype: np.dtype) -> np.dtype:
    """The host's own version of a dtype that it may not have (JAX without 64-bit types)."""
    return host.canonical_dtype(dtype) if hasattr(host, "canonical_dtype") else dtype


def _canonical(host) -> Any:
    return None if host is None else (host.__name__, host.integer_dtype(), host.float_dtype())


def _float_dtype(kinds: Sequence[_Leaf], host) -> np.dtype:
    strong = [
        leaf.dtype for leaf in kinds if leaf.dtype is not None and leaf.dtype.kind == "f" and not leaf.weak
    ]
    if strong:
        return np.result_type(*strong)
    return np.dtype(np.float64) if host is None else host.float_dtype()


def _detached(leaf: Any, host) -> Any:
    return host.detach(leaf) if host is not None and host.owns(leaf) else leaf


def _without_self(options: dict[str, Any]) -> dict[str, Any]:
    """`wrt` counts positions with `self`; a bound method does not have it."""
    wrt = options["wrt"]
    if wrt is None:
        return options
    items = (wrt,) if isinstance(wrt, str | int) else tuple(wrt)
    return {
        **options,
        "wrt": tuple(item - 1 if isinstance(item, int) else item for item in items if item != 0),
    }


def _rebuild(function: Callable, options: dict[str, Any]) -> FwdDiff:
    return FwdDiff(function, **options)


@functools.cache
def _engine(name: str):
    return importlib.import_module(f"fwddiff.engines.{'numba' if name == 'auto' else name}")


def fwddiff(
    f: Callable | None = None,
    *,
    engine: str = "auto",
    wrt: Any = None,
    mode: Mode = "auto",
    passes: Passes = "single",
    chunk: int | None = None,
) -> Any:
    """Wrap a Python function so that every reverse-mode framework differentiates it by forward mode.

    Also a decorator. `f` takes and returns numbers, small arrays and nested tuples, NamedTuples, dataclasses and dicts of them,
    and uses plain Python: `math`, NumPy on scalars, `if`, `while`, `for`, helper functions.

    Args:
        f: The function. Arrays that it captures get their derivatives as if they were arguments.
        engine: "numba" compiles `f` (as "auto" does), "numpy" runs it as it is, slowly.
        wrt: Names or positions of the arguments to differentiate; all by default. Integers never are.
        mode: "store" computes partials with the value, "recompute" runs the duals in the pullback and keeps nothing, "auto"
            chooses (see `Rule.stores`).
        passes: "single" computes all cotangents in one pass, "per_argument" one at a time.
        chunk: Most partials that travel in one pass.

    Returns:
        A callable with `broadcast` and `sum`. Results belong to the host of the arguments.

    Raises:
        ArgumentError: `wrt` names no argument, or an option is unknown.
    """
    if f is None:
        return functools.partial(fwddiff, engine=engine, wrt=wrt, mode=mode, passes=passes, chunk=chunk)
    _check_option("engine", engine, _ENGINES)
    _check_option("mode", mode, ("auto", "store", "recompute"))
    _check_option("passes", passes, ("single", "per_argument"))
    if chunk is not None and (not isinstance(chunk, int) or chunk < 1):
        raise ArgumentError(f"chunk={chunk!r}: a positive number of partials is needed.")
    return FwdDiff(f, engine, wrt, mode, passes, chunk)


def _check_option(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ArgumentError(f"{name}={value!r} is unknown: use one of {', '.join(map(repr, allowed))}.")

"""`fwddiff(f)`: the callable that users hold. One call, top to bottom:

bind arguments → captured values → leaves → whose arrays? → the rule for leaves of these kinds → the host
records it.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from fwddiff import _tree
from fwddiff._call import Call, Caller, Options
from fwddiff._errors import ArgumentError
from fwddiff._function import Target
from fwddiff._rule import Mode, Passes

_ENGINES = ("auto", "numba", "numpy")
_KINDS = ("whole", "broadcast", "sum")


class FwdDiff:
    """A function whose pullback every host computes with forward-mode dual numbers. Made by
    `fwddiff.fwddiff`."""

    def __init__(
        self,
        function: Callable,
        engine: str | Callable,
        wrt: Any,
        mode: Mode,
        passes: Passes,
        chunk: int | None,
    ):
        self.target = Target(function)
        self.options = {"engine": engine, "wrt": wrt, "mode": mode, "passes": passes, "chunk": chunk}
        self.caller = Caller(self.target, Options(engine, self.target.positions(wrt), mode, passes, chunk))
        self._operations = {kind: Operation(self, kind) for kind in _KINDS}
        functools.update_wrapper(self, function, updated=())

    @property
    def __fwddiff_function__(self) -> Callable:
        return self.target.original

    @property
    def whole(self) -> Operation:
        """The operation that calling the object itself performs."""
        return self._operations["whole"]

    def __call__(self, *args, **kwargs):
        """The value `f(*args, **kwargs)`; arrays are whole arguments. Differentiable in the host of the
        arguments."""
        return self._operations["whole"](*args, **kwargs)

    @property
    def broadcast(self) -> Operation:
        """`f` applied element by element, with NumPy's broadcasting, in one fused kernel.

        Structs are structs of arrays, in arguments and in results. `signature="(n),()->()"` gives arguments
        core axes that `f` sees as small arrays, as in `numpy.vectorize`.
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


class Operation:
    """One way to call a wrapped function: `whole`, `broadcast` or `sum`."""

    def __init__(self, wrapped: FwdDiff, kind: str):
        self.wrapped, self.kind = wrapped, kind
        self._caller = wrapped.caller
        self.__name__ = wrapped.target.name if kind == "whole" else f"{wrapped.target.name}.{kind}"

    def __call__(self, *args, **kwargs):
        gathered = self._caller.gather(self.kind, args, kwargs)
        if self.kind == "whole" and self._caller.recipe(gathered).host is None:
            return self.wrapped.target.original(*args, **kwargs)
        call = self._caller.call(gathered)
        if call.host is None:
            outputs = [output[()] for output in call.rule([np.asarray(leaf) for leaf in call.inputs])]
        else:
            outputs = call.host.apply(call.rule, call.inputs)
        tree = call.result_tree()
        return outputs[0] if tree.is_leaf() else _tree.unflatten(tree, outputs)

    def prepare(self, *args, **kwargs) -> Call:
        """The call that `self(*args, **kwargs)` would make, not made."""
        return self._caller.call(self._caller.gather(self.kind, args, kwargs))

    def __repr__(self) -> str:
        return f"fwddiff({self.wrapped.target.name})" + ("" if self.kind == "whole" else f".{self.kind}")


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

    Also a decorator. `f` takes and returns numbers, small arrays and nested tuples, NamedTuples, dataclasses
    and dicts of them, and uses plain Python: `math`, NumPy on scalars, `if`, `while`, `for`, helper
    functions.

    Args:
        f: The function. Arrays that it captures get their derivatives as if they were arguments.
        engine: "numba" compiles `f` (as "auto" does), "numpy" runs it as it is, slowly.
        wrt: Names or positions of the arguments to differentiate; all by default. Integers never are.
        mode: "store" computes partials with the value, "recompute" runs the duals in the pullback and keeps
            nothing, "auto" chooses (see `Rule.stores`).
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

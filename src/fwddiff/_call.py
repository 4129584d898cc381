"""From the arguments of one call to the rule that serves it, with the decisions cached per kind of argument.

What is decided once per `signature` (structure, types, dtypes and axes of all leaves): the host, the static
leaves, the slots of the rule, which leaves are constants. What is done at every call: flatten, build the
signature, look it up.
"""

from __future__ import annotations

import collections
import enum
import functools
import importlib
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from fwddiff import _buffers, _capture, _host, _tree
from fwddiff._errors import ArgumentError
from fwddiff._function import Target
from fwddiff._problem import Problem, Told
from fwddiff._rule import Mode, Passes, Rule, Slot
from fwddiff._signature import core_ndims
from fwddiff._sizes import Given

_MOST_WAYS = 1000
_MOST_VERSIONS = 8  # of one code: what it captures is now of this type, now of that
_MOST_KEPT = 256
_MOST_TRIES = 3

Way = Callable[[Sequence[Any]], Any]
Current = Callable[[], bool]


class Options(NamedTuple):
    """What the user chose in `fwddiff(...)`; `wrt` as positions of arguments."""

    engine: str | Callable
    wrt: frozenset[int] | None
    mode: Mode
    passes: Passes
    chunk: int | None
    out_shape: Told | None = None


class Gathered(NamedTuple):
    """Leaves of one call, arguments first. `structure` is all of the call that is not in its leaves: kind,
    core axes, structures of the arguments and of each captured value."""

    structure: tuple
    leaves: list
    record: Record

    @property
    def plan(self) -> _capture.Function:
        return self.record.plan

    @property
    def arguments(self) -> Any:
        return self.structure[2]

    @property
    def captured(self) -> tuple:
        return self.structure[3:]

    def arity(self) -> int:
        """Number of arguments if the call consists of leaves, given by position; else -1."""
        flat = len(self.structure) == 3 and self.structure[1] is None and _tree.is_flat(self.arguments)
        return len(self.leaves) if flat else -1

    def signature(self) -> tuple:
        """Structure, types, dtypes and axes: what the choice of a rule depends on."""
        kinds = map(_host.leaf_signature, self.leaves)
        return (self.structure, *kinds, *_buffers.sharing(self.leaves))


class _Once:
    """Makes a rule when it is first asked for, and then lets go of the call that it was made from."""

    def __init__(self, make: Callable[[], Rule]):
        self._make: Callable[[], Rule] | None = make
        self._rule: Rule | None = None

    def __call__(self) -> Rule:
        make = self._make
        if self._rule is None:
            assert make is not None
            self._rule, self._make = make(), None
        return self._rule


class Recipe(NamedTuple):
    """What a signature leads to. `dynamic` are the numbers of the leaves that are inputs, `detached` those of
    constants; `current` says whether the classes and functions among the arguments are what they were."""

    host: ModuleType | None
    host_state: Any
    rule: Callable[[], Rule]
    dynamic: tuple[int, ...]
    detached: frozenset[int]
    current: Current | None

    def holds(self) -> bool:
        return self.host_state == _host_state(self.host) and (self.current is None or self.current())


class Call(NamedTuple):
    """A call ready to be evaluated or differentiated."""

    rule: Rule
    inputs: list
    dynamic: tuple[int, ...]
    host: ModuleType | None
    spec: Any
    detached: frozenset[int]
    current: Current | None = None

    def result_tree(self) -> Any:
        rule: Any = self.rule
        tree = vars(rule).get("_result_tree")
        if tree is None:
            tree = rule.result_tree()
            _tree.check_rebuilding(tree)  # before it is kept: a second call is refused too
            rule._result_tree = tree
        return tree


class Record:
    """What has been decided about a function as `plan` found it, all of it valid as long as the plan is: a
    decision that took long is written where it belongs, not over a newer one."""

    __slots__ = ("__weakref__", "plan", "recipes", "ways")

    def __init__(self, plan: _capture.Function):
        self.plan = plan
        self.recipes: dict[tuple, Recipe] = {}
        # How a host serves calls that it describes by the key, and whether that is still so.
        self.ways: dict[Any, tuple[Way, Current | None]] = {}

    def remember(self, key: Any, way: Way, current: Current | None) -> None:
        if len(self.ways) >= _MOST_WAYS:
            self.ways.clear()
        self.ways[key] = way, current


class _Records:
    """Records by code and options, so that a fresh lambda, or a method of another object, finds what was
    decided (and compiled) for one of the same code.

    All that are in use are found; the last few are kept alive unless they would keep much memory with them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[tuple, list[weakref.ref[Record]]] = {}
        self._last: collections.OrderedDict[Record, None] = collections.OrderedDict()

    def of(self, key: tuple) -> list[Record]:
        with self._lock:
            return [record for reference in self._used.get(key, ()) if (record := reference()) is not None]

    def add(self, key: tuple, record: Record, keep: bool) -> None:
        with self._lock:
            alive = [reference for reference in self._used.get(key, ()) if reference() is not None]
            self._used[key] = [weakref.ref(record), *alive[: _MOST_VERSIONS - 1]]
            if keep:
                record.plan.let_go()
                self._last[record] = None
            while len(self._last) > _MOST_KEPT:
                self._last.popitem(last=False)
            if len(self._used) > 8 * _MOST_KEPT:
                self._used = {k: refs for k, refs in self._used.items() if any(r() for r in refs)}

    def touch(self, record: Record) -> None:
        with self._lock:
            if record in self._last:
                self._last.move_to_end(record)


_records = _Records()


class Caller:
    """Prepares the calls of one wrapped function."""

    def __init__(self, target: Target, meaning: _capture.Meaning, options: Options):
        self.target, self.meaning, self.options = target, meaning, options
        self._record: Record | None = None

    def plan(self) -> _capture.Function:
        """What the function captures now."""
        return self.find()[0].plan

    def live_plan(self) -> _capture.Function:
        """A plan that reads and checks the names of this very function one by one, for Dynamo."""
        record = self._record
        # What the traced code assigns is not written yet: the data may be missing.
        plan = record.plan if record is not None and self._holds(record) else self.plan()
        return self._planned() if plan.has_let_go else plan

    @property
    def has_own_rule(self) -> bool:
        """Whether the user answers for the derivative."""
        engine = self.options.engine
        is_own = callable(engine) and not getattr(engine, "differentiates", False)
        return is_own or self.meaning.rule is not None

    def is_home(self, host: ModuleType | None) -> bool:
        """Whether a call belongs to the framework that the function is written for, which differentiates the
        function itself."""
        rule = self.meaning.rule
        return (
            host is not None and isinstance(rule, _capture.Foreign) and host is _host.host_module(rule.engine)
        )

    def runs_itself(self, gathered: Gathered) -> bool:
        """Whether a whole call is a call of the user's function, with nothing of ours around it."""
        if not isinstance(self.meaning.rule, _capture.Foreign):
            return self.recipe(gathered).host is None
        return self.options.wrt is None and self.is_home(
            _host.common_owner(gathered.leaves, self.target.name)
        )

    def traced(self, captured: Sequence[Any]) -> Record:
        """What has been decided about the function whose captured values Dynamo has read."""
        for record in (self._record, *_records.of(self._key())):
            if record is not None and self._holds(record) and len(record.plan.captures) == len(captured):
                return record
        return self.find()[0]

    def _holds(self, record: Record) -> bool:
        return record.plan.holds_for(self.target.live, self.target.bound)

    def _key(self) -> tuple:
        """Of records of functions of the same code."""
        return self.target.live.__code__ if self.target.has_code else None, self.options, self.meaning

    def _planned(self) -> _capture.Function:
        with_state = self.has_own_rule
        meaning = self.meaning._replace(wrt=None)  # of the outermost call: hosts hand over constants
        return _capture.plan(self.target.function, _host.is_owned, meaning, with_state)

    def find(self) -> tuple[Record, list[Any]]:
        """What has been decided about the function as it is now, and the values that it captures."""
        record, target = self._record, self.target
        if record is not None:
            values = record.plan.guard(target.live, target.bound)
            if values is not None:
                return record, values
        return self._found()

    def _found(self) -> tuple[Record, list[Any]]:
        target = self.target
        if self._record is not None:
            target.refresh()
        key = self._key()
        known = _records.of(key) if key[0] is not None else []
        for record in known:
            values = record.plan.guard(target.live, target.bound)
            if values is not None:
                self._record = record
                _records.touch(record)
                return record, values
        for _ in range(_MOST_TRIES):
            record = Record(self._planned())
            values = record.plan.guard(target.live, target.bound)
            if values is not None:
                self._record = record
                if key[0] is not None:
                    # A custom rule calls the function itself, which therefore may not be let go of.
                    keep = not self.has_own_rule and record.plan.is_small(values)
                    _records.add(key, record, keep)
                return record, values
        return record, record.plan.values()  # names that lead to something new at each reading

    def gather(
        self,
        kind: str,
        args: tuple,
        kwargs: dict[str, Any],
        values: Sequence[Any],
        complete: bool = False,
    ) -> tuple[tuple, list]:
        """Structure and leaves of a call with these captured values. `complete`: presets and defaults are
        among `args`."""
        core = kwargs.pop("signature", None) if kwargs and kind != "whole" else None
        target = self.target
        if not complete and (kwargs or len(args) != target.arity):
            args = target.bind(args, kwargs)
        leaves, spec = _tree.flatten(args)
        if not values:
            return (kind, core, spec), leaves
        captured = []
        for value in values:
            more, captured_spec = _tree.flatten(value)
            leaves += more
            captured.append(captured_spec)
        return (kind, core, spec, *captured), leaves

    def recipe(self, gathered: Gathered) -> Recipe:
        signature = gathered.signature()
        recipes = gathered.record.recipes
        found = recipes.get(signature)
        if found is None or not found.holds():
            found = recipes[signature] = _make_recipe(self, gathered)
        return found

    def call(self, gathered: Gathered) -> Call:
        recipe = self.recipe(gathered)
        leaves = gathered.leaves
        inputs = [leaves[k] for k in recipe.dynamic]
        if recipe.detached:
            inputs = [
                recipe.host.detach(leaf) if k in recipe.detached else leaf  # type: ignore[union-attr]
                for k, leaf in zip(recipe.dynamic, inputs, strict=True)
            ]
        rule = recipe.rule()
        if not rule.is_settled:
            rule = _settled(rule, inputs, recipe.host)
        return Call(
            rule, inputs, recipe.dynamic, recipe.host, gathered.arguments, recipe.detached, recipe.current
        )


def _settled(rule: Any, inputs: Sequence[Any], host: ModuleType | None) -> Rule:
    """The rule for these inputs, which knows what it returns."""

    def values() -> Sequence[np.ndarray] | None:
        found = [_host.values(leaf, host) for leaf in inputs]
        if any(array is None for array in found):
            return None
        return [np.asarray(array, slot.dtype) for array, slot in zip(found, rule.inputs, strict=True)]

    shapes = [np.shape(x) if host is None or not host.owns(x) else host.shape(x) for x in inputs]
    return rule.settled(Given(rule.inputs, inputs, shapes, values))


def _host_state(host: ModuleType | None) -> Any:
    return None if host is None else (host.integer_dtype(), host.float_dtype())


# --- once per signature -------------------------------------------------------------------------------------


class _Kind(NamedTuple):
    """Dtype and axes of an array or number, or a static value.

    `weak`: a number whose dtype gives way to any other. `yields`: it gives way to arrays with axes.
    """

    dtype: np.dtype | None
    ndim: int = 0
    weak: bool = False
    yields: bool = False
    static: Any = None


class Leaves(NamedTuple):
    """Names the leaves of a call, for messages and for `wrt`."""

    caller: Caller
    gathered: Gathered

    def owners(self) -> list[int]:
        """Argument position of each argument leaf."""
        return [
            k for k, child in enumerate(self.gathered.arguments.children()) for _ in range(child.num_leaves)
        ]

    def wanted(self, leaf: int) -> bool:
        """Whether `wrt` asks for this leaf; captured values always are."""
        wrt = self.caller.options.wrt
        return wrt is None or leaf >= self.gathered.arguments.num_leaves or self.owners()[leaf] in wrt

    def captures(self) -> Iterator[tuple[int, _capture.Capture]]:
        """(leaf number, capture) of all leaves of captured values."""
        leaf = self.gathered.arguments.num_leaves
        for spec, capture in zip(self.gathered.captured, self.gathered.plan.captures, strict=True):
            for _ in range(spec.num_leaves):
                yield leaf, capture
                leaf += 1

    def name(self, leaf: int) -> str:
        if leaf >= self.gathered.arguments.num_leaves:
            return f"captured {dict(self.captures())[leaf].name!r}"
        path = _tree.leaf_paths(self.gathered.arguments)[leaf].partition("]")[2]
        return f"argument {self.caller.target.argument_name(self.owners()[leaf])}{path and f' at {path}'}"


def _make_recipe(caller: Caller, gathered: Gathered) -> Recipe:
    host = _host.common_owner(gathered.leaves, caller.target.name)
    for spec in (gathered.arguments, *gathered.captured):
        _tree.check_rebuilding(spec)
    names = Leaves(caller, gathered)
    kinds = [_leaf_kind(leaf, host, names, k) for k, leaf in enumerate(gathered.leaves)]
    ndims = _core_ndims(names, kinds)
    dynamic = tuple(k for k, kind in enumerate(kinds) if kind.dtype is not None)
    detached = frozenset(k for k in dynamic if host and host.owns(gathered.leaves[k]) and not names.wanted(k))
    current = _capture.guard_parts(_parts(gathered, kinds), _host.is_owned)
    rule = _Once(lambda: _make_rule(names, kinds, ndims, host, current))
    return Recipe(host, _host_state(host), rule, dynamic, detached, current)


def _parts(gathered: Gathered, kinds: Sequence[_Kind]) -> Iterator[Any]:
    """What is known by name only in a call: the classes of structs, and functions that are arguments."""
    for spec in (gathered.arguments, *gathered.captured):
        yield from _tree.node_types(spec)
    yield from (kind.static for kind in kinds if callable(kind.static))


def _leaf_kind(leaf: Any, host: ModuleType | None, names: Leaves, number: int) -> _Kind:
    try:
        if host is not None and host.owns(leaf):
            ndim = len(host.shape(leaf))
            return _Kind(host.dtype(leaf), ndim, _host.is_weak(host, leaf), _host.yields(host, ndim))
        is_number = isinstance(leaf, bool | int | float | np.generic | np.ndarray | complex)
        # Members of `IntEnum` are integers that are told apart by name.
        if is_number and not isinstance(leaf, enum.Enum):
            dtype = _host.plain_dtype(leaf)
            if host is not None:
                dtype = host.integer_dtype() if type(leaf) is int else _host.canonical_dtype(host, dtype)
            weak = type(leaf) in (int, float) or _host.is_weak(host, leaf)
            return _Kind(dtype, np.ndim(leaf), weak)
    except (ArgumentError, TypeError) as error:
        raise type(error)(f"{names.caller.target.name}, {names.name(number)}: {error}") from error
    if not callable(leaf) and _capture.holds_host_array(leaf, _host.is_owned):
        raise ArgumentError(
            f"{names.caller.target.name}, {names.name(number)}: a {type(leaf).__name__} that holds arrays of "
            "a framework, whose derivatives would be lost. Pass the arrays, or a dataclass of them."
        )
    return _Kind(None, static=leaf)


def _core_ndims(names: Leaves, kinds: Sequence[_Kind]) -> list[int]:
    kind, signature = names.gathered.structure[:2]
    if kind == "whole":
        return [leaf.ndim for leaf in kinds]
    ndims = [0] * len(kinds)
    if signature:
        own = core_ndims(signature, names.owners(), names.caller.target)
        ndims[: len(own)] = own
    for k, capture in names.captures():
        ndims[k] = kinds[k].ndim if capture.is_table else 0
    return ndims


def _make_rule(
    names: Leaves,
    kinds: Sequence[_Kind],
    ndims: Sequence[int],
    host: ModuleType | None,
    current: Current | None,
) -> Rule:
    strong = [kind for kind in kinds if kind.dtype is not None and kind.dtype.kind == "f" and not kind.weak]
    has_axes = any(kind.ndim for kind in strong)
    float_dtype = _float_dtype([kind for kind in strong if not (kind.yields and has_axes)], host)
    inputs, statics = [], {}
    for k, (leaf, ndim) in enumerate(zip(kinds, ndims, strict=True)):
        if reason := _host.why_no_array(names.gathered.leaves[k], host):
            raise ArgumentError(f"{names.caller.target.name}, {names.name(k)}: {reason}")
        if leaf.dtype is None:
            if not names.caller.has_own_rule:
                _capture.refuse_stateful(leaf.static, f"{names.caller.target.name}: {names.name(k)}")
            statics[k] = leaf.static
            continue
        gives_way = leaf.weak or (leaf.yields and has_axes)
        dtype = float_dtype if gives_way and leaf.dtype.kind == "f" else leaf.dtype
        inputs.append(Slot(dtype, ndim, dtype.kind == "f" and names.wanted(k)))
    gathered, options = names.gathered, names.caller.options
    problem = Problem(
        plan=gathered.plan,
        arguments=gathered.arguments,
        captured=gathered.captured,
        statics=statics,
        inputs=tuple(inputs),
        reduce="sum" if gathered.structure[0] == "sum" else None,
        float_dtype=float_dtype,
        integer_dtype=np.dtype(np.int64) if host is None else host.integer_dtype(),
        mode=options.mode,
        passes=options.passes,
        chunk=options.chunk,
        kind=gathered.structure[0],
        signature=gathered.structure[1],
        axes=tuple(kind.ndim for kind in kinds if kind.dtype is not None),
        out_shape=options.out_shape,
        current=current,
    )
    rule: Any = names.caller.meaning.rule
    if rule is not None:
        if isinstance(rule, _capture.Foreign):
            return engine(rule.engine).user_rule(problem, rule)
        return rule.made(problem) if hasattr(rule, "made") else engine("numpy").user_rule(problem, rule)
    return engine_for(options.engine, gathered.plan)(problem)


def _float_dtype(strong: Sequence[_Kind], host: ModuleType | None) -> np.dtype:
    """Dtype of Python floats: that of the arrays they meet."""
    if strong:
        return np.result_type(*(kind.dtype for kind in strong if kind.dtype is not None))
    return np.dtype(np.float64) if host is None else host.float_dtype()


def engine_for(engine_or_name: str | Callable, plan: _capture.Function) -> Callable[[Problem], Rule]:
    """What makes the rule. A function that differentiates another one runs as Python, by "auto"."""
    if callable(engine_or_name):
        return engine_or_name
    runs_python = engine_or_name == "auto" and _capture.refers_to_us(plan)
    return engine("numpy" if runs_python else engine_or_name).rule


@functools.cache
def engine(name: str) -> ModuleType:
    """The engine of this name."""
    return importlib.import_module(f"fwddiff.engines.{name}")

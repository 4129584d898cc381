"""From the arguments of one call to the rule that serves it, with the decisions cached per kind of argument.

What is decided once per `signature` (structure, types, dtypes and axes of all leaves): the host, the static
leaves, the slots of the rule, which leaves are constants. What is done at every call: flatten, build the
signature, look it up.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from fwddiff import _capture, _host, _tree
from fwddiff._errors import ArgumentError
from fwddiff._function import Target
from fwddiff._problem import Problem
from fwddiff._rule import Mode, Passes, Rule, Slot
from fwddiff._signature import core_ndims
from fwddiff._sizes import Given

_MOST_WAYS = 1000


class Options(NamedTuple):
    """What the user chose in `fwddiff(...)`; `wrt` as positions of arguments."""

    engine: str | Callable
    wrt: frozenset[int] | None
    mode: Mode
    passes: Passes
    chunk: int | None
    out_shape: Any = None


class Gathered(NamedTuple):
    """Leaves of one call, arguments first. `structure` is all of the call that is not in its leaves: kind,
    core axes, structures of the arguments and of each captured value."""

    structure: tuple
    leaves: list
    plan: _capture.Function

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
        return (self.structure, *map(_host.leaf_signature, self.leaves))


class Recipe(NamedTuple):
    """What a signature leads to. `dynamic` are the numbers of the leaves that are inputs, `detached` those of
    constants."""

    host: ModuleType | None
    host_state: Any
    rule: Callable[[], Rule]
    dynamic: tuple[int, ...]
    detached: frozenset[int]


class Call(NamedTuple):
    """A call ready to be evaluated or differentiated."""

    rule: Rule
    inputs: list
    dynamic: tuple[int, ...]
    host: ModuleType | None
    spec: Any
    detached: frozenset[int]

    def result_tree(self) -> Any:
        rule: Any = self.rule
        tree = vars(rule).get("_result_tree")
        if tree is None:
            tree = rule.result_tree()
            _tree.check_rebuilding(tree)  # before it is kept: a second call is refused too
            rule._result_tree = tree
        return tree


class Caller:
    """Prepares the calls of one wrapped function."""

    def __init__(self, target: Target, options: Options):
        self.target, self.options = target, options
        self._plan: _capture.Function | None = None
        self._recipes: dict[tuple, Recipe] = {}
        self.ways: dict[Any, Callable[[Sequence[Any]], Any]] = {}

    def plan(self) -> _capture.Function:
        """What the function captures, found again if a name leads to another function now."""
        plan = self._plan
        if plan is None or not plan.current():
            plan = self._plan = _capture.plan(
                self.target.function, _host.is_owned, with_state=callable(self.options.engine)
            )
            self._recipes, self.ways = {}, {}
        return plan

    def gather(
        self,
        kind: str,
        args: tuple,
        kwargs: dict[str, Any],
        plan: _capture.Function,
        values: Sequence[Any] | None = None,
    ) -> tuple[tuple, list]:
        """Structure and leaves of a call. `values` stand for the captured ones where a host has read them."""
        core = kwargs.pop("signature", None) if kwargs and kind != "whole" else None
        target = self.target
        if kwargs or len(args) != target.arity:
            args = target.bind(args, kwargs)
        leaves, spec = _tree.flatten(args)
        if not plan.captures:
            return (kind, core, spec), leaves
        captured = []
        for value in plan.values() if values is None else values:
            more, captured_spec = _tree.flatten(value)
            leaves += more
            captured.append(captured_spec)
        return (kind, core, spec, *captured), leaves

    def recipe(self, gathered: Gathered) -> Recipe:
        signature = gathered.signature()
        found = self._recipes.get(signature)
        if found is None or found.host_state != _host_state(found.host):
            found = self._recipes[signature] = _make_recipe(self, gathered)
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
        return Call(rule, inputs, recipe.dynamic, recipe.host, gathered.arguments, recipe.detached)

    def remember(self, key: Any, way: Callable[[Sequence[Any]], Any]) -> None:
        """Keep how a host serves calls that it describes by `key`; forgotten when the function changes."""
        if len(self.ways) >= _MOST_WAYS:
            self.ways.clear()
        self.ways[key] = way


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


class _Leaves(NamedTuple):
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
    names = _Leaves(caller, gathered)
    kinds = [_leaf_kind(leaf, host, names, k) for k, leaf in enumerate(gathered.leaves)]
    ndims = _core_ndims(names, kinds)
    dynamic = tuple(k for k, kind in enumerate(kinds) if kind.dtype is not None)
    detached = frozenset(k for k in dynamic if host and host.owns(gathered.leaves[k]) and not names.wanted(k))
    rule = functools.cache(lambda: _make_rule(names, kinds, ndims, host))
    return Recipe(host, _host_state(host), rule, dynamic, detached)


def _leaf_kind(leaf: Any, host: ModuleType | None, names: _Leaves, number: int) -> _Kind:
    try:
        if host is not None and host.owns(leaf):
            ndim = len(host.shape(leaf))
            return _Kind(host.dtype(leaf), ndim, _host.is_weak(host, leaf), _host.yields(host, ndim))
        if isinstance(leaf, bool | int | float | np.generic | np.ndarray | complex):
            dtype = _host.plain_dtype(leaf)
            if host is not None:
                dtype = host.integer_dtype() if type(leaf) is int else _host.canonical_dtype(host, dtype)
            weak = type(leaf) in (int, float) or _host.is_weak(host, leaf)
            return _Kind(dtype, np.ndim(leaf), weak)
    except (ArgumentError, TypeError) as error:
        raise type(error)(f"{names.caller.target.name}, {names.name(number)}: {error}") from error
    return _Kind(None, static=leaf)


def _core_ndims(names: _Leaves, kinds: Sequence[_Kind]) -> list[int]:
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


def _make_rule(names: _Leaves, kinds: Sequence[_Kind], ndims: Sequence[int], host: ModuleType | None) -> Rule:
    strong = [kind for kind in kinds if kind.dtype is not None and kind.dtype.kind == "f" and not kind.weak]
    has_axes = any(kind.ndim for kind in strong)
    float_dtype = _float_dtype([kind for kind in strong if not (kind.yields and has_axes)], host)
    inputs, statics = [], {}
    for k, (leaf, ndim) in enumerate(zip(kinds, ndims, strict=True)):
        if leaf.dtype is None:
            if not callable(names.caller.options.engine):
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
        out_shape=options.out_shape,
    )
    return _engine_for(options.engine, gathered.plan)(problem)


def _float_dtype(strong: Sequence[_Kind], host: ModuleType | None) -> np.dtype:
    """Dtype of Python floats: that of the arrays they meet."""
    if strong:
        return np.result_type(*(kind.dtype for kind in strong if kind.dtype is not None))
    return np.dtype(np.float64) if host is None else host.float_dtype()


def _engine_for(engine_or_name: str | Callable, plan: _capture.Function) -> Callable[[Problem], Rule]:
    """What makes the rule. A function that differentiates another one runs as Python, by "auto"."""
    if callable(engine_or_name):
        return engine_or_name
    runs_python = engine_or_name == "auto" and _capture.refers_to_us(plan)
    return engine("numpy" if runs_python else engine_or_name).rule


@functools.cache
def engine(name: str) -> ModuleType:
    """The engine of this name; "auto" is Numba's."""
    return importlib.import_module(f"fwddiff.engines.{'numba' if name == 'auto' else name}")

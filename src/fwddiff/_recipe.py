"""What the leaves of a call are, and the rule that serves calls with leaves of these kinds.

Decided once per `signature` (structure, types, dtypes and axes of all leaves): the host, the static leaves,
the slots of the rule, which leaves are constants.
"""

from __future__ import annotations

import enum
import functools
import importlib
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from fwddiff import _buffers, _capture, _host, _tree
from fwddiff._decisions import Current, Recipe, Record, host_state
from fwddiff._errors import ArgumentError
from fwddiff._function import Target
from fwddiff._problem import Problem, Told
from fwddiff._rule import Mode, Passes, Rule, Slot
from fwddiff._signature import core_ndims


class Options(NamedTuple):
    """What the user chose in `fwddiff(...)`; `wrt` as positions of arguments."""

    engine: str | Callable
    wrt: frozenset[int] | None
    mode: Mode
    passes: Passes
    chunk: int | None
    out_shape: Told | None = None


class Subject(NamedTuple):
    """A function, what is known of its derivative, and what the user chose."""

    target: Target
    meaning: _capture.Meaning
    options: Options

    @property
    def has_own_rule(self) -> bool:
        """Whether the user answers for the derivative."""
        engine = self.options.engine
        is_own = callable(engine) and not getattr(engine, "differentiates", False)
        return is_own or self.meaning.rule is not None


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

    subject: Subject
    gathered: Gathered

    @property
    def function(self) -> str:
        return self.subject.target.name

    def owners(self) -> list[int]:
        """Argument position of each argument leaf."""
        return [
            k for k, child in enumerate(self.gathered.arguments.children()) for _ in range(child.num_leaves)
        ]

    def wanted(self, leaf: int) -> bool:
        """Whether `wrt` asks for this leaf; captured values always are."""
        wrt = self.subject.options.wrt
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
        return f"argument {self.subject.target.argument_name(self.owners()[leaf])}{path and f' at {path}'}"


def make_recipe(subject: Subject, gathered: Gathered) -> Recipe:
    host = _host.common_owner(gathered.leaves, subject.target.name)
    for spec in (gathered.arguments, *gathered.captured):
        _tree.check_rebuilding(spec)
    names = Leaves(subject, gathered)
    kinds = [_leaf_kind(leaf, host, names, k) for k, leaf in enumerate(gathered.leaves)]
    ndims = _core_ndims(names, kinds)
    dynamic = tuple(k for k, kind in enumerate(kinds) if kind.dtype is not None)
    detached = frozenset(k for k in dynamic if host and host.owns(gathered.leaves[k]) and not names.wanted(k))
    current = _capture.guard_parts(_parts(gathered, kinds), _host.is_owned)
    rule = _Once(lambda: _make_rule(names, kinds, ndims, host, current))
    return Recipe(host, host_state(host), rule, dynamic, detached, current)


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
        raise type(error)(f"{names.function}, {names.name(number)}: {error}") from error
    if not callable(leaf) and _capture.holds_host_array(leaf, _host.is_owned):
        raise ArgumentError(
            f"{names.function}, {names.name(number)}: a {type(leaf).__name__} that holds arrays of "
            "a framework, whose derivatives would be lost. Pass the arrays, or a dataclass of them."
        )
    return _Kind(None, static=leaf)


def _core_ndims(names: Leaves, kinds: Sequence[_Kind]) -> list[int]:
    kind, signature = names.gathered.structure[:2]
    if kind == "whole":
        return [leaf.ndim for leaf in kinds]
    ndims = [0] * len(kinds)
    if signature:
        own = core_ndims(signature, names.owners(), names.subject.target)
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
            raise ArgumentError(f"{names.function}, {names.name(k)}: {reason}")
        if leaf.dtype is None:
            if not names.subject.has_own_rule:
                _capture.refuse_stateful(leaf.static, f"{names.function}: {names.name(k)}")
            statics[k] = leaf.static
            continue
        gives_way = leaf.weak or (leaf.yields and has_axes)
        dtype = float_dtype if gives_way and leaf.dtype.kind == "f" else leaf.dtype
        inputs.append(Slot(dtype, ndim, dtype.kind == "f" and names.wanted(k)))
    gathered, options = names.gathered, names.subject.options
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
    rule: Any = names.subject.meaning.rule
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

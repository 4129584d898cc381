"""Calls of operators: at a point, curried, and prepared.

All three lead to the same: a `Plan` for arguments of one kind and shape, evaluated on their leaves. A
`Curried` operator remembers the plans of the kinds of arguments that it has met, and takes the quick way
(`_fast`) from the second call of a kind on. A `Prepared` one has a single plan, and refuses other arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fwddiff import _buffers, _dual_host, _host, _inplace, _nesting, _tree
from fwddiff._capture import looks_after
from fwddiff._chainrules import operation_of, refuse_host
from fwddiff._errors import ArgumentError
from fwddiff._function import Target, without_partials
from fwddiff._operators import _fast, _sparse
from fwddiff._operators._differences import refuse_others
from fwddiff._operators._fast import MISMATCH, Setting, Way
from fwddiff._operators._forms import FORMS, LATER, Form, Plan
from fwddiff._operators._named import with_named
from fwddiff._operators._point import Argnum, Point, chosen, located
from fwddiff._recipe import Gathered
from fwddiff._wrapper import FRAMEWORKS, Operation

_MOST_KINDS = 64


class Choice(NamedTuple):
    """What the user chose beside the function and its arguments."""

    argnum: Argnum = 0
    backend: str = "auto"
    chunk: int | None = None
    sparsity: Any = None
    check: bool | None = None


def applied(
    name: str,
    f: Callable,
    args: tuple,
    choice: Choice,
    out: Any,
    inplace: bool = False,
    named: dict[str, Any] | None = None,
) -> Any:
    """The operator of this name at these arguments; without them, a function of the arguments."""
    form = FORMS[name]
    if inplace:
        return _in_place(name, f, args, choice, out, named or {})
    if named:
        f, args = with_named(form, f, args, named)
    if choice.sparsity is not None:
        return _applied_sparse(name, f, args, choice, out)
    if args[0] is LATER:
        return _later(form, f, choice)
    operation = operation_of(f, choice.backend, choice.chunk)
    argnum = choice.argnum
    key = name, argnum if isinstance(argnum, int | str) else tuple(argnum)
    answer = operation.operators.get(key)
    if answer is None:
        answer = operation.operators[key] = Curried(form, f, choice, operation)
    return answer(args, out)


def _in_place(name: str, f: Callable, args: tuple, choice: Choice, out: Any, named: dict[str, Any]) -> Any:
    """Of a function that writes its result into `out`."""
    if choice.backend in FRAMEWORKS:
        raise ArgumentError(
            f"inplace=True is for plain functions of NumPy arrays, and backend={choice.backend!r} for "
            "functions of its arrays, which return their result: leave one of them out."
        )

    def value_and(ordinary: Callable, *args: Any, **rest: Any) -> Any:
        form = f"value_and_{name.removeprefix('value_and_')}"
        return applied(form, ordinary, args, choice, None, named=rest)

    def called(*args: Any, out: Any = out, **more: Any) -> Any:
        return _inplace.evaluated(name, value_and, f, out, *args, **named, **more)

    return looks_after(called) if args[0] is LATER else called(*args)


def _applied_sparse(name: str, f: Callable, args: tuple, choice: Choice, out: Any) -> Any:
    found = _sparse.curried(name, f, choice)
    return found if args[0] is LATER else found(*args, out=out)


def prepared(form: Form, f: Callable, args: tuple, choice: Choice) -> Any:
    """What `fd.prepare` returns."""
    if choice.sparsity is None:
        return Prepared(form, f, args, choice)
    return _sparse.prepared(form.name, f, args, choice)


def _later(form: Form, f: Callable, choice: Choice) -> Callable:
    answer = Curried(form, f, choice)

    def called(*args: Any, out: Any = None, **named: Any) -> Any:
        if not named:
            return answer(args, out)
        args = form.positional(args, named)
        same, args = with_named(form, f, args, named)
        return answer(args, out) if same is f else applied(form.name, same, args, choice, out)

    called.__name__ = f"{form.name} of {_shown(f)}"
    return looks_after(called)


class _Kind:
    """What is known of calls of one kind: their plan, and from the second one on the quick way."""

    def __init__(self, point: Point, plan: Plan):
        self.point, self.plan = point, plan
        self.way: Way | None = None
        self.is_asked = False

    def holds(self) -> bool:
        current = self.point.call.current
        return current is None or current()

    def leaves(self, gathered: Gathered) -> list[Any]:
        return [gathered.leaves[k] for k in self.point.call.dynamic]

    def given(self, value: Any) -> list[Any]:
        return [] if self.plan.given is None else self.plan.given(value)


class Curried:
    """An operator on a function. `last` is the quick way of the last call that had one, `before` that of an
    earlier one: callers often take two shapes in turn, as `solve_bvp` does."""

    def __init__(self, form: Form, f: Callable, choice: Choice, operation: Operation | None = None):
        self.form, self.f, self.choice = form, f, choice
        self.last: Way | None = None
        self.before: Way | None = None
        self._operation = operation
        self._kinds: dict[Any, _Kind] = {}

    def __reduce__(self) -> Any:
        return _restored, (self.form.name, self.f, self.choice)

    def operation(self) -> Operation:
        """Inside of functions that run as Python another one (see `operation_of`)."""
        if _nesting.depth():
            return operation_of(self.f, self.choice.backend, self.choice.chunk)
        if self._operation is None:
            self._operation = operation_of(self.f, self.choice.backend, self.choice.chunk)
        return self._operation

    def __call__(self, args: tuple, out: Any = None) -> Any:
        way = self.last
        if way is not None and not _nesting.depth():
            found = way(args, out)
            if found is not MISMATCH:
                return found
            other = self.before
            if other is not None:
                found = other(args, out)
                if found is not MISMATCH:
                    self.last, self.before = other, way
                    return found
        return self._answer(args, out)

    def _answer(self, args: tuple, out: Any) -> Any:
        operation, form = self.operation(), self.form
        own, given = form.split(args)
        if _nesting.depth():
            return at_once(form, operation, own, given, self.choice.argnum, out)
        numbers, is_single, own = chosen(operation.wrapped.target, own, self.choice.argnum)
        gathered = operation.gathered(own, {})
        kinds = map(_signature, gathered.leaves)
        key = (gathered.record, gathered.structure, *kinds, *_buffers.sharing(gathered.leaves))
        kind = self._kinds.get(key)
        if kind is None or not kind.holds():
            kind, is_kept = _new_kind(form, operation, gathered, numbers, is_single, len(own))
            if is_kept:
                self._keep(key, kind)
        elif not kind.is_asked:
            kind.is_asked = True
            kind.way = way_of(form, kind, operation, gathered, own, kind.given(given))
        if kind.way is not None:
            if self.last is not kind.way:
                self.last, self.before = kind.way, self.last
            found = kind.way((own[0], given, *own[1:]) if form.takes else own, out)
            if found is not MISMATCH:
                return found
        return evaluated(form, kind, kind.leaves(gathered), given, out)

    def _keep(self, key: tuple, kind: _Kind) -> None:
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        self._kinds[key] = kind


def _restored(name: str, f: Callable, choice: Choice) -> Curried:
    return Curried(FORMS[name], f, choice)


def _signature(leaf: Any) -> Any:
    """Kind and shape of a leaf."""
    found = _host.leaf_signature(leaf)
    return (found, leaf.shape) if isinstance(leaf, np.ndarray) else found


def _new_kind(
    form: Form, operation: Operation, gathered: Gathered, numbers: list[int], is_single: bool, count: int
) -> tuple[_Kind, bool]:
    """And whether it serves other calls of the same signature: kernels may be for certain integers."""
    call = operation.wrapped.caller.call(gathered)
    refuse_host(call, operation.wrapped.target.original)
    point = Point(operation, call, numbers, is_single, count)
    return _Kind(point, form.plan(point)), call.host is None and not point.rule.depends_on_integers


def way_of(
    form: Form, kind: _Kind, operation: Operation, gathered: Gathered, args: tuple, given: Sequence[Any]
) -> Way | None:
    return _fast.way_of(Setting(form, kind.plan, kind.point, operation.wrapped.target, gathered, args, given))


def at_once(form: Form, operation: Operation, args: tuple, given: Any, argnum: Argnum, out: Any) -> Any:
    """Evaluate without remembering anything."""
    point, leaves = located(operation, args, argnum)
    return evaluated(form, _Kind(point, form.plan(point)), leaves, given, out)


def evaluated(form: Form, kind: _Kind, leaves: Sequence[Any], given: Any, out: Any) -> Any:
    result = kind.plan.assemble(kind.plan.evaluate(leaves, kind.given(given)))
    return result if out is None else _into(form, out, result)


def _into(form: Form, out: Any, result: Any) -> Any:
    """The result with `out` in the place of its derivative, or of each where there are two."""
    parts = result[1:] if form.has_value else (result,)
    outs = (out,) if form.parts == 1 else tuple(out)
    if len(outs) != len(parts):
        raise ArgumentError(f"out= of {form.name} is to be a pair of arrays.")
    for place, part in zip(outs, parts, strict=True):
        if not isinstance(part, np.ndarray) or not part.ndim:
            raise ArgumentError(
                f"out= is for results that are one array; this one is a {type(part).__name__}: leave it out."
            )
        _fast.checked(place, part.shape, part.dtype)[...] = part
    return (result[0], *outs) if form.has_value else outs[0]


class Prepared:
    """What `fd.prepare` returns: an operator at arguments of one kind, whose calls do no set-up work.

    Called as the operator's curried form is, `p(x, *constants)` or `p(x, tangent, *constants)`, with
    arguments of the kinds, dtypes, shapes and structure that it was prepared for; `out=` as in the operator.
    Any number of threads may call it at once. What the function captures is read at each call.

    Raises:
        ShapeError, StructureError, ArgumentError: an argument (or captured value) has another shape,
            structure, or type or dtype.
        StaleError: the function's code, or what it calls, is not what it was.
    """

    # The mark by which functions that call it are known, and run as Python.
    __fwddiff_operation__ = True

    _kind: _Kind | None = None
    _way: Way | None = None
    wrapped: Any = None

    def __init__(self, form: Form, f: Callable, args: tuple, choice: Choice):
        self._form, self._f, self._choice = form, f, choice
        self._prepare(args)
        leaves, spec = _tree.flatten(args)
        self._args = _tree.unflatten(spec, [_like(leaf) for leaf in leaves])

    def _prepare(self, args: tuple) -> None:
        form = self._form
        operation, own, given = self._located(args)
        self._operation, self.wrapped = operation, operation.wrapped
        numbers, is_single, own = chosen(self.wrapped.target, own, self._choice.argnum)
        gathered = operation.gathered(own, {})
        if any(map(_dual_host.owns, gathered.leaves)):
            raise ArgumentError("prepare outside of the function that is differentiated: x is a dual here.")
        kind, self._is_fixed = _new_kind(form, operation, gathered, numbers, is_single, len(own))
        is_known = given is not None or kind.plan.given is None
        leaves = kind.given(given) if is_known else _example(form, kind.point)
        if leaves is not None:
            self._way = way_of(form, kind, operation, gathered, own, leaves)
        self._gathered = gathered._replace(leaves=[_like(leaf) for leaf in gathered.leaves])
        self._kind = kind

    def _located(self, args: tuple) -> tuple[Operation, tuple, Any]:
        """The operation, its arguments, and the (co)tangent if it is among `args`."""
        operation = operation_of(self._f, self._choice.backend, self._choice.chunk)
        has_given = bool(self._form.takes and args[1:]) and _takes(operation.wrapped.target, len(args) - 1)
        own, given = self._form.split(args) if has_given else (args, None)
        return operation, own, given

    def __call__(self, *args: Any, out: Any = None, **named: Any) -> Any:
        if named:
            args = self._placed(args, named)
        way = self._way
        if way is not None:
            found = way(args, out)
            if found is not MISMATCH:
                return found
        return self._answer(args, out)

    def _placed(self, args: tuple, named: dict[str, Any]) -> tuple:
        args = self._form.positional(args, named)
        same, args = with_named(self._form, self._f, args, named)
        if same is not self._f:
            raise ArgumentError(
                f"{self!r} cannot take {', '.join(named)} by name, which is keyword-only or comes after an "
                "argument that keeps its default: it stays what it was prepared with."
            )
        return args

    def _answer(self, args: tuple, out: Any) -> Any:
        form, choice, kind = self._form, self._choice, self._kind
        operation = self._located(self._args)[0] if kind is None else self._operation
        own, given = form.split(args)
        *_, own = chosen(operation.wrapped.target, own, choice.argnum)
        gathered = operation.gathered(own, {})
        has_duals = any(map(_dual_host.owns, gathered.leaves))
        if not has_duals:
            was = self._like_those(operation) if kind is None else self._gathered
            holds = kind is None or kind.holds()
            refuse_others(operation.wrapped.caller.subject, repr(self), was, gathered, holds)
            if kind is None:
                self._prepare(args)
                return self(*args, out=out)
        if has_duals or not self._is_fixed:
            fresh = operation_of(self._f, choice.backend, choice.chunk)
            return at_once(form, fresh, own, given, choice.argnum, out)
        assert kind is not None
        return evaluated(form, kind, kind.leaves(gathered), given, out)

    def _like_those(self, operation: Operation) -> Gathered:
        """Leaves like those that the original of this copy was prepared for."""
        own = self._located(self._args)[1]
        return operation.gathered(chosen(operation.wrapped.target, own, self._choice.argnum)[2], {})

    def __reduce__(self) -> Any:
        """Copies and pickles are prepared at their first call, for the copy of the function: a method of an
        object that is copied with it belongs to that."""
        return _blank, (), (self._form.name, self._f, self._args, self._choice)

    def __setstate__(self, state: tuple) -> None:
        name, self._f, self._args, self._choice = state
        self._form = FORMS[name]

    def __repr__(self) -> str:
        return f"prepared {self._form.name} of {_shown(self._f)}"


def _shown(f: Any) -> str:
    return getattr(without_partials(f)[2], "__name__", "a function")


def _blank() -> Prepared:
    return object.__new__(Prepared)


def _example(form: Form, point: Point) -> list[Any] | None:
    """Zeros in the place of the (co)tangent, if its shapes are known."""
    if form.takes == "tangent":
        slots = [(point.shapes[i], point.rule.inputs[i].dtype) for i in point.inputs]
    else:
        shapes = point.result_shapes()
        if shapes is None:
            return None
        slots = list(zip(shapes, [s.dtype for s in point.rule.differentiable_outputs], strict=True))
    return [np.zeros(shape, dtype) if shape else 0.0 for shape, dtype in slots]


def _takes(target: Target, count: int) -> bool:
    """Whether the function can be called with so many positional arguments."""
    try:
        target.signature.bind(*target.preset_args, *[None] * count, **target.preset_kwargs)
    except TypeError:
        return False
    return True


def _like(leaf: Any) -> Any:
    """An array of the same dtype and shape without memory of its own; anything else as it is."""
    if type(leaf) is not np.ndarray:
        return leaf
    return np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape)

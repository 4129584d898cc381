"""Room for partials in arrays that a function makes: `out = np.zeros(k)`, then `out[j] = x**j`.

Numba gives an array its element type where it is made, before it knows what will be stored. Where that fails
for want of room, the arrays that the function makes itself are found again, what is stored in them (or meets
them at the end of branches) is asked for its type, round after round until nothing changes, and each is
converted, where it is made, to an array of duals with room for all of it.
"""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportPrivateImportUsage=false, reportCallIssue=false

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from fwddiff._errors import CompileError
from fwddiff.engines.numba.arrays import empty_like_of, flat
from fwddiff.engines.numba.options import overload
from fwddiff.engines.numba.types import is_dual, join
from numba.core import errors, ir, types
from numba.core.compiler_machinery import register_pass
from numba.core.ir_utils import find_callname, get_definition, guard
from numba.core.typed_passes import NopythonTypeInference, type_inference_stage
from numba.extending import intrinsic

_MOST_ROUNDS = 12
# Functions whose result is a new array. Those that may return a view are left out: to convert it would part
# it from what it is a view of.
_MAKERS = frozenset({
    "zeros", "ones", "empty", "full", "zeros_like", "ones_like", "empty_like", "full_like", "copy", "array",
    "arange", "linspace", "eye", "identity", "outer", "dot", "cumsum", "concatenate", "stack", "repeat",
})  # fmt: skip


@register_pass(mutates_CFG=False, analysis_only=False)
class TypeInference(NopythonTypeInference):
    """Numba's type inference; where it fails, once more with room in the function's own arrays."""

    _name = "fwddiff_type_inference"

    def run_pass(self, state: Any) -> bool:
        try:
            return super().run_pass(state)
        except (errors.NumbaError, CompileError):
            if not _Rooms(state).make():
                raise
        return super().run_pass(state)


# By function: for the parameters that are arrays of the caller, the types of what it wanted to store in them
# since the caller looked.
_wanted: weakref.WeakKeyDictionary[Any, dict[int, list]] = weakref.WeakKeyDictionary()


class _Group:
    """Arrays that share an element type because they meet: `dtype` has room for all that is stored."""

    def __init__(self) -> None:
        self.dtype: Any = None
        self.is_float = True

    def take(self, kind: Any) -> None:
        """Something of this type is stored, or is what the array was made of."""
        kinds = [k for k in _elements(kind) if is_dual(k)]
        if kinds:
            self.dtype = join(*kinds) if self.dtype is None else join(self.dtype, *kinds)

    def made_of(self, kind: Any) -> None:
        if isinstance(kind, types.Array) and isinstance(kind.dtype, types.Integer | types.Boolean):
            self.is_float = False  # storing a float there is a step, which has no derivative
        self.take(kind)


def _elements(kind: Any) -> list[Any]:
    if isinstance(kind, types.Array | types.List):
        return _elements(kind.dtype)
    if isinstance(kind, types.BaseTuple):
        return [element for item in kind.types for element in _elements(item)]
    return [kind]


class _Rooms:
    """The arrays that one function makes and stores something into."""

    def __init__(self, state: Any):
        self.state, self.ir = state, state.func_ir
        self.bodies = {label: block.body for label, block in self.ir.blocks.items()}
        self.made: dict[str, Any] = {}  # variable → the statement that makes the array
        self.parents: dict[str, set[str]] = {}  # variable → variables whose array it is, or is a view of
        self.groups: dict[str, _Group] = {}  # by the variable of a site
        self.parameters: dict[str, int] = {}  # sites that a caller made
        self._find()

    # --- which arrays are there, and what reaches them ------------------------------------------------------

    def _statements(self) -> Iterator[Any]:
        for body in self.bodies.values():
            yield from body

    def _find(self) -> None:
        for statement in self._statements():
            if isinstance(statement, ir.Assign):
                target = statement.target.name
                if self._makes(statement.value, target):
                    self.made[target] = statement
                self.parents.setdefault(target, set()).update(_sources(statement.value))
        returned: set[str] = set()
        for statement in self._statements():
            if _is_cast(statement):
                returned |= self.sites(statement.target.name)
            elif _stores(statement):
                self._join(self.sites(statement.target.name))
            for _, variable in self._lent(statement):
                self._join(self.sites(variable.name))
        self._join(returned)
        for statement in self._statements():
            sites = self.sites(statement.target.name) if _is_phi(statement) else set()
            if not sites.isdisjoint(self.groups):
                self._join(sites)

    def _makes(self, value: Any, target: str) -> bool:
        if isinstance(value, ir.Arg):
            kind = self.state.args[value.index]
            if isinstance(kind, types.Array) and kind.mutable:
                self.parameters[target] = value.index
            return target in self.parameters
        if _is(value, "binop") or _is(value, "unary"):
            return True
        if not _is(value, "call"):
            return False
        found = guard(find_callname, self.ir, value)
        if found is None:
            return False
        name, where = found
        return (where == "numpy" and name in _MAKERS) or (name == "copy" and isinstance(where, ir.Var))

    def _lent(self, statement: Any) -> Iterator[tuple[Any, ir.Var]]:
        """The arrays that a call of a user's function gets: what is wanted of each, and its variable."""
        value: Any = statement.value if isinstance(statement, ir.Assign) else None
        if not _is(value, "call"):
            return
        callee = guard(get_definition, self.ir, value.func)
        stub = getattr(getattr(callee, "value", None), "py_func", None)
        if hasattr(stub, "__fwddiff_node__"):
            wanted = _wanted.setdefault(stub, {})
            yield from ((wanted.setdefault(k, []), v) for k, v in enumerate(value.args) if self.sites(v.name))

    def sites(self, name: str) -> set[str]:
        """Variables of the sites whose array `name` may be, or be a view of."""
        found, seen, left = set(), set(), [name]
        while left:
            current = left.pop()
            if current in seen:
                continue
            seen.add(current)
            if current in self.made:
                found.add(current)
            else:
                left += self.parents.get(current, ())
        return found

    def _join(self, sites: set[str]) -> None:
        known = {id(self.groups[s]): self.groups[s] for s in sites if s in self.groups}
        group = next(iter(known.values()), None) or _Group()
        for site, own in list(self.groups.items()):
            if id(own) in known:
                self.groups[site] = group
        for site in sites:
            self.groups[site] = group

    # --- rounds of type inference ---------------------------------------------------------------------------

    def make(self) -> bool:
        """Give the arrays room; `False` if there is nothing to be done."""
        if not self.groups:
            return False
        for _ in range(_MOST_ROUNDS):
            before = [group.dtype for group in self.groups.values()]
            self._rewrite(self._watched, self._stored)
            self._infer()
            self._ask_callees()
            if [group.dtype for group in self.groups.values()] == before:
                break
        self._restore()
        self._tell_caller()
        found = (group for site, group in self.groups.items() if site not in self.parameters)
        if not any(group.dtype is not None and group.is_float for group in found):
            return False
        self._rewrite(self._converted, lambda statement, sites: [statement])
        self._register_new()
        return True

    def _tell_caller(self) -> None:
        for site, index in self.parameters.items():
            if site in self.groups and self.groups[site].dtype is not None:
                _wanted.setdefault(self.state.func_id.func, {}).setdefault(index, []).append(
                    self.groups[site].dtype
                )

    def _ask_callees(self) -> None:
        """What functions that got these arrays wanted to store in them."""
        for statement in self._statements():
            for wanted, variable in self._lent(statement):
                for site in self.sites(variable.name):
                    for kind in wanted:
                        self.groups[site].take(kind)
                wanted.clear()

    def _infer(self) -> None:
        state = self.state
        self._register_new()
        with contextlib.suppress(errors.NumbaError):  # what was met until then is known
            type_inference_stage(
                state.typingctx, state.targetctx, self.ir, state.args, None, state.locals, raise_errors=False
            )

    def _register_new(self) -> None:
        """The functions made here were not there when the compilation began."""
        self.state.typingctx.refresh()
        self.state.targetctx.refresh()

    def _restore(self) -> None:
        for label, body in self.bodies.items():
            self.ir.blocks[label].body = body

    def _rewrite(self, at_site: Callable, at_store: Callable) -> None:
        for label, body in self.bodies.items():
            self.ir.blocks[label].body = [new for s in body for new in self._rewritten(s, at_site, at_store)]

    def _rewritten(self, statement: Any, at_site: Callable, at_store: Callable) -> list[Any]:
        if isinstance(statement, ir.SetItem | ir.StaticSetItem):
            sites = self.sites(statement.target.name)
            return at_store(statement, sites) if sites else [statement]
        if isinstance(statement, ir.Assign):
            if statement.target.name in self.groups and statement is self.made[statement.target.name]:
                return at_site(statement)
            if _is(statement.value, "inplace_binop", "cast"):
                sites = self.sites(statement.target.name)
                return at_store(statement, sites) if sites else [statement]
        return [statement]

    def _watched(self, statement: Any) -> list[Any]:
        group = self.groups[statement.target.name]
        return self._through(statement, _watcher(group))

    def _converted(self, statement: Any) -> list[Any]:
        group = self.groups[statement.target.name]
        if group.dtype is None or not group.is_float or statement.target.name in self.parameters:
            return [statement]
        return self._through(statement, converted(group.dtype))

    def _through(self, statement: Any, function: Any) -> list[Any]:
        """The statement with `function` applied to what it assigns."""
        made = self._variable(statement, "made")
        return [
            ir.Assign(statement.value, made, statement.loc),
            *self._call(statement, function, [made], statement.target),
        ]

    def _stored(self, statement: Any, sites: set[str]) -> list[Any]:
        """Instead of a store, which has no room yet: what is stored is asked for its type."""
        groups = list({id(self.groups[site]): self.groups[site] for site in sites}.values())
        noted = self._variable(statement, "noted")
        if not isinstance(statement, ir.Assign):
            return self._call(statement, _noter(groups), [statement.value], noted)
        value = statement.value
        if value.op == "cast":
            return [*self._call(statement, _noter(groups), [value.value], noted), statement]
        combined = _in_place(groups, value.immutable_fn)
        return self._call(statement, combined, [value.lhs, value.rhs], statement.target)

    def _variable(self, statement: Any, name: str) -> ir.Var:
        scope = next(iter(self.ir.blocks.values())).scope
        return scope.redefine(f"$room_{name}", statement.loc)

    def _call(self, statement: Any, function: Any, arguments: list[ir.Var], target: ir.Var) -> list[Any]:
        callee = self._variable(statement, "function")
        named = ir.Global("room", function, statement.loc)
        call = ir.Expr.call(callee, arguments, (), statement.loc)
        self.ir._definitions[callee.name] = [named]
        return [ir.Assign(named, callee, statement.loc), ir.Assign(call, target, statement.loc)]


def _is(value: Any, *operations: str) -> bool:
    return isinstance(value, ir.Expr) and value.op in operations


def _is_cast(statement: Any) -> bool:
    return isinstance(statement, ir.Assign) and _is(statement.value, "cast")


def _is_phi(statement: Any) -> bool:
    return isinstance(statement, ir.Assign) and _is(statement.value, "phi")


def _stores(statement: Any) -> bool:
    in_place = isinstance(statement, ir.Assign) and _is(statement.value, "inplace_binop")
    return in_place or isinstance(statement, ir.SetItem | ir.StaticSetItem)


def _sources(value: Any) -> list[str]:
    """Variables whose array this expression is, or is a view of."""
    if isinstance(value, ir.Var):
        return [value.name]
    if _is(value, "phi"):
        return [v.name for v in value.incoming_values if isinstance(v, ir.Var)]
    if _is(value, "getitem", "static_getitem", "cast"):
        return [value.value.name]
    return [value.lhs.name] if _is(value, "inplace_binop") else []


# --- what the rewritten code calls --------------------------------------------------------------------------


def _noter(groups: list[_Group]) -> Any:
    """Intrinsic of nothing but typing: something of this type is stored in arrays of these groups."""

    @intrinsic
    def note(typing_context, value):
        for group in groups:
            group.take(value)
        return types.none(value), lambda context, builder, signature, arguments: context.get_dummy_value()

    return note


def _in_place(groups: list[_Group], function: Any) -> Callable:
    """`a += b`: noted where `a` is an array, an ordinary operation on numbers."""

    def in_place(a: Any, b: Any) -> Any:
        raise NotImplementedError

    @overload(in_place)
    def typer(a, b):
        if not isinstance(a, types.Array):
            return lambda a, b: function(a, b)
        for group in groups:
            group.take(b)
        return lambda a, b: a

    return in_place


def _watcher(group: _Group) -> Any:
    """Intrinsic of nothing but typing: the array with the room that it needs, as far as that is known."""

    @intrinsic
    def watch(typing_context, made):
        group.made_of(made)
        result = made
        if isinstance(made, types.Array) and group.dtype is not None and group.is_float:
            result = types.Array(group.dtype, made.ndim, "C")
        return result(made), lambda context, builder, signature, arguments: arguments[0]

    return watch


def converted(dtype: Any) -> Callable:
    """Function of an array (of numbers, or of duals with less room): a new one with this element type."""

    def convert(made: Any) -> Any:
        raise NotImplementedError

    @overload(convert)
    def typer(made):
        if not isinstance(made, types.Array) or made.dtype == dtype:
            return lambda made: made
        empty = empty_like_of(dtype)

        def implementation(made):
            out = empty(made)
            source, target = flat(made), flat(out)
            for e in range(source.size):
                target[e] = source[e]
            return out

        return implementation

    return convert

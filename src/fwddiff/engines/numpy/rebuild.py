"""The user's function again, with places for captured values: nothing that the user holds is changed.

A rebuilt function has its own cells and, where a global is replaced, its own globals; objects on the way to a
captured attribute are copied, one level deep each. One `Rebuilt` serves one evaluation in one thread.
"""

from __future__ import annotations

import builtins
import collections
import dataclasses
import enum
import functools
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fwddiff._capture import (
    NOTHING,
    STANDS_FOR,
    Foreign,
    Function,
    Path,
    Use,
    asked_of_parameters,
    asked_which,
    attributes,
    decides,
    has_code,
    has_rule,
    held_rule,
    is_foreign,
    is_struct,
    nested_codes,
    parameters,
    plan,
    unbound,
    uses,
)
from fwddiff._errors import CaptureError, DerivativeError
from fwddiff.engines.numpy import ruled
from fwddiff.engines.numpy.unknown import foreign_call

_UNCHANGING = (str, bytes, int, float, complex, tuple, frozenset)
_MADE_BY_CLASS = 1 << 9  # flag of types that a `class` statement made


class Rebuilt:
    """A callable like `plan.original`, with `set_captured`."""

    def __init__(self, plan: Function, classes: Any, known: dict[tuple, Callable] | None = None):
        self.plan, self.classes, self.known = plan, classes, known or {}
        self.positions = {id(capture): k for k, capture in enumerate(plan.captures)}
        self.setters: list[list[Callable[[Any], None]]] = [[] for _ in plan.captures]
        self.functions: dict[int, Callable] = {}
        self.copied: dict[int, Any] = {}
        self.call = self.function(plan)
        self._refuse_identity()

    def _refuse_identity(self) -> None:
        """What is copied is another object; code that asks which one it is would take another branch."""
        found = asked_which(self.plan, self.copied) if self.copied else None
        if found is not None:
            node, (root, steps), how = found
            raise asks_which(node, ".".join((root, *steps)), how)

    def set_captured(self, values: Sequence[Any]) -> None:
        """Give every captured variable its value for the next call."""
        for setters, value in zip(self.setters, values, strict=True):
            for setter in setters:
                setter(value)

    def function(self, node: Function) -> Callable:
        """The rebuilt form of one function, made once."""
        if id(node) not in self.functions:
            # Functions that call each other in a circle find this one here while it is being made.
            self.functions[id(node)] = lambda *args, **kwargs: self.functions[id(node)](*args, **kwargs)
            self.functions[id(node)] = self._meant(node)
        return self.functions[id(node)]

    def _meant(self, node: Function) -> Callable:
        """The function with all that wrapping it, or a rule of its own, added to its code.

        `known` has what is made already, by the identities of function and `self`.
        """
        known = self.known.get((id(node.live), id(node.bound)))
        if known is not None:
            call = known
        elif isinstance(node.meaning.rule, Foreign):
            call = foreign_call(node.original)
        elif node.meaning.rule is not None:
            call = ruled.UserCall(node, node.meaning.rule, self.classes, self.again)
        else:
            call = self._make(node) if node.row is None else ruled.by_row(self._make(node), node.row)
        wrt = node.meaning.wrt
        call = call if wrt is None else ruled.with_constants(call, node, wrt)
        if node.row is not None or node.meaning != NOTHING:
            setattr(call, STANDS_FOR, node.original)
        return call

    def again(self, node: Function, known: dict[tuple, Callable]) -> Callable:
        """Another function, rebuilt, with what is captured read now."""
        rebuilt = Rebuilt(node, self.classes, self.known | known)
        rebuilt.set_captured(node.values())
        return rebuilt.call

    def _make(self, node: Function) -> Callable:
        code, original = node.function.__code__, node.function
        cells: dict[str, types.CellType] = dict(
            zip(code.co_freevars, original.__closure__ or (), strict=True)
        )
        spaces, myself = original.__globals__, types.CellType(node.bound)
        for root, branch in self._tree(node).items():
            if root in cells:
                cells[root] = types.CellType()
                put = functools.partial(setattr, cells[root], "cell_contents")
            elif root == node.self_name:
                put = functools.partial(setattr, myself, "cell_contents")
            else:
                spaces = dict(spaces) if spaces is original.__globals__ else spaces
                put = functools.partial(spaces.__setitem__, root)
            self._fill(node, root, branch, put)
        function = types.FunctionType(
            code, spaces, original.__name__, original.__defaults__, tuple(cells.values())
        )
        function.__kwdefaults__ = original.__kwdefaults__
        function.__module__, function.__qualname__ = original.__module__, original.__qualname__
        asked = asked_of_parameters(node)
        if asked:
            function = _Refusing(function, node, asked)
        if node.bound is None:
            return function
        return lambda *args, **kwargs: function(myself.cell_contents, *args, **kwargs)

    def _fill(self, node: Function, root: str, branch: Any, put: Callable[[Any], None]) -> None:
        if isinstance(branch, dict):
            put(self._copy(node.lookup((root, ())), branch))
        elif branch[0] == "is":
            put(branch[1])
        else:
            self.setters[branch[1]].append(put)

    # --- what is replaced -----------------------------------------------------------------------------------

    def _tree(self, node: Function) -> dict[str, Any]:
        """Replacements by root and attributes: nested dicts ending in ("set", position) or ("is", value)."""
        tree: dict[str, Any] = {}
        for path, position in node.own.items():
            if not _is_of_enum(node, path):
                self.copied |= {id(part): part for part in _made_again(node.lookup(path))}
                _insert(tree, path, ("set", self.positions[id(node.captures[position])]))
        for path, (callee, _) in node.calls.items():
            plain = isinstance(node.lookup(path), types.FunctionType | types.MethodType)
            if not plain or is_touched(callee, self.classes) or self._is_known(callee):
                _insert(tree, path, ("is", self._with_operations(node.lookup(path), self.function(callee))))
        for path in node.held:
            _insert(tree, path, ("is", self.members_rebuilt(node.lookup(path))))
        for path, value in substitutes(node, self.classes):
            _insert(tree, path, ("is", value))
        return tree

    def _with_operations(self, value: Any, function: Callable) -> Callable:
        """A wrapped function's stand-in has its operations too: `g(x) + g.sum(xs)`."""
        if hasattr(value, "__fwddiff_function__"):
            vars(function).update(broadcast=value.broadcast, sum=value.sum)
        return function

    def members_rebuilt(self, value: Any) -> Any:
        """A container of functions, or a `functools.partial`, with the user's own rebuilt."""
        if isinstance(value, functools.partial):
            func, *args = map(self.members_rebuilt, (value.func, *value.args))
            keywords = {name: self.members_rebuilt(item) for name, item in value.keywords.items()}
            return functools.partial(func, *args, **keywords)
        if type(value) in (tuple, list):
            return type(value)(map(self.members_rebuilt, value))
        if type(value) is dict:
            return {key: self.members_rebuilt(item) for key, item in value.items()}
        if held_rule(value) is not None:
            raise CaptureError(
                f"a {type(value).__name__} holds a function with a rule of its own, which would be ignored. "
                "Keep such functions in tuples, lists or dicts, or name them."
            )
        is_own = has_code(value) and (has_rule(value) or not is_foreign(unbound(value)[1].__module__))
        if not is_own:
            known = isinstance(value, types.BuiltinFunctionType) and self.classes.standins.of(value)
            return known or value
        node = plan(value, self.plan.owned)
        return self.again(node, {}) if is_touched(node, self.classes) else value

    def _is_known(self, node: Function) -> bool:
        return any((id(n.live), id(n.bound)) in self.known for n in node.nodes())

    def _copy(self, value: Any, branch: dict[str, Any]) -> Any:
        """A shallow copy of an object, module or class with some attributes replaced."""
        copied, put = _shallow(value, branch)
        self.copied[id(value)] = value
        for attribute, inner in branch.items():
            if isinstance(inner, dict):
                put(attribute, self._copy(getattr(value, attribute), inner))
            elif inner[0] == "is":
                put(attribute, inner[1])
            else:
                self.setters[inner[1]].append(functools.partial(put, attribute))
        return copied


def asks_which(node: Function, name: str, how: str) -> DerivativeError:
    return DerivativeError(
        f"`{node.function.__name__}` asks by `{how}` which object `{name}` is, and works on a copy of it, "
        "because what it holds are inputs of the derivative: the answer would be wrong. Compare a name or a "
        "number that it holds, or give its class an `__eq__` and ask by `==`."
    )


class _Refusing:
    """A function that asks which object a parameter is, not for structs and containers: those that are
    arguments, or captured, are made anew for each call. Plans see the function itself (`py_func`)."""

    def __init__(self, function: types.FunctionType, node: Function, asked: dict[str, str]):
        self.py_func, self.node, self.asked = function, node, asked
        self.__name__ = function.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        names = parameters(self.py_func.__code__)
        for name, value in (*zip(names, args, strict=False), *kwargs.items()):
            how = self.asked.get(name)
            if how and is_struct(value) and decides(value, how):
                raise asks_which(self.node, name, how)
        return self.py_func(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)


def _made_again(value: Any) -> Iterator[Any]:
    """Structs and containers that are inputs, and those inside: each call has its own."""
    if not is_struct(value):
        return
    yield value
    for part in _parts(value):
        yield from _made_again(part)


def _parts(struct: Any) -> Iterable[Any]:
    if isinstance(struct, list | tuple):
        return struct
    if isinstance(struct, dict):
        return struct.values()
    return [getattr(struct, field.name, None) for field in dataclasses.fields(struct)]


def is_touched(node: Function, classes: Callable[[Any], Any]) -> bool:
    """Whether the function, or one that it calls, has to be rebuilt."""
    return any(
        member.own
        or member.held
        or member.row
        or member.meaning != NOTHING
        or member.state is not None
        or asked_of_parameters(member)
        or any(substitutes(member, classes))
        for member in node.nodes()
    )


def _is_of_enum(node: Function, path: Path) -> bool:
    """Whether a number is the value of a member (`Kind.LINEAR.value`): it stays, and the class is no class to
    copy, because members are compared by identity."""
    root, steps = path
    return any(isinstance(node.lookup((root, steps[:k])), enum.Enum) for k in range(len(steps)))


def _insert(tree: dict[str, Any], path: Path, leaf: tuple) -> None:
    """Put a leaf at a path; what is already replaced nearer to the root stays."""
    steps = [path[0], *path[1]]
    for step in steps[:-1]:
        tree = tree.setdefault(step, {})
        if not isinstance(tree, dict):
            return
    tree.setdefault(steps[-1], leaf)


# --- copies of objects --------------------------------------------------------------------------------------


def _shallow(value: Any, branch: dict[str, Any]) -> tuple[Any, Callable[[str, Any], None]]:
    """A copy, and what sets an attribute of it."""
    if isinstance(value, types.ModuleType):
        copied = types.ModuleType(value.__name__)
        copied.__dict__.update(vars(value))
        return copied, copied.__dict__.__setitem__
    if isinstance(value, type):
        copied = _like(value)
        return copied, functools.partial(_set_on_class, copied)
    hidden = {name for name in branch if _is_hidden(value, name)}
    cls: Any = type(value)
    if hidden:
        cls = type(cls)(cls.__name__, (cls,), {"__slots__": ()})
    copied = _with_content(cls, value)
    if hasattr(value, "__dict__"):
        vars(copied).update(vars(value))
    for name in _slots(type(value)):
        if hasattr(value, name):
            object.__setattr__(copied, name, getattr(value, name))
    return (
        copied,
        lambda name, new: _set_on_class(cls, name, new) if name in hidden else _put(copied, name, new),
    )


def _like(cls: type) -> type:
    """A class that stands for another: its instances are those of the other, and it is equal to it."""
    answers: dict[str, Any] = {
        "__instancecheck__": lambda _, x: isinstance(x, cls),
        "__subclasscheck__": lambda _, other: issubclass(other, cls),
        "__eq__": lambda own, other: other is own or other is cls,
        "__hash__": lambda _: hash(cls),
    }
    members = {"__slots__": (), "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    kind: Any = type(type(cls).__name__, (type(cls),), answers)
    return kind(cls.__name__, (cls,), members)


def _with_content(cls: Any, value: Any) -> Any:
    """An instance of `cls` that holds what a built-in base of its class keeps: text, elements, items."""
    built_in: Any = next(base for base in cls.__mro__ if not base.__flags__ & _MADE_BY_CLASS)
    copied = built_in.__new__(cls, value) if issubclass(built_in, _UNCHANGING) else built_in.__new__(cls)
    if issubclass(built_in, collections.defaultdict):
        built_in.__init__(copied, value.default_factory)
    elif issubclass(built_in, collections.deque):
        built_in.__init__(copied, maxlen=value.maxlen)
    if issubclass(built_in, dict):
        built_in.update(copied, dict.items(value))
    elif issubclass(built_in, set):
        built_in.update(copied, built_in.__iter__(value))
    elif issubclass(built_in, list | collections.deque):
        built_in.extend(copied, built_in.__iter__(value))
    return copied


def _is_hidden(value: Any, name: str) -> bool:
    """Whether an attribute of the instance would not be seen: a property or slot comes first.

    An attribute of a nearer class, without `__set__`, comes before both.
    """
    return not hasattr(value, "__dict__") or hasattr(getattr(type(value), name, None), "__set__")


def _slots(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        yield from (
            (slots,) if isinstance(slots, str) else (s for s in slots if s not in ("__dict__", "__weakref__"))
        )


def _put(copied: Any, attribute: str, value: Any) -> None:
    vars(copied)[attribute] = value


def _set_on_class(cls: type, attribute: str, value: Any) -> None:
    # A function found on a class would become a method.
    type.__setattr__(
        cls, attribute, staticmethod(value) if isinstance(value, types.FunctionType | _Refusing) else value
    )


# --- functions of numbers that do not know duals ------------------------------------------------------------


def substitutes(node: Function, classes: Any) -> Iterator[tuple[Path, Any]]:
    """Paths in the code to `math`, a function of it, a conversion (`float`), or a class that is rebuilt."""
    code = node.function.__code__
    hows: dict[Path, set[str]] = {}
    for inner in (code, *nested_codes(code)):
        for use in uses(inner):
            hows.setdefault(attributes(use.path), set()).add(_how(use))
    for path, how in hows.items():
        found = None
        if "matched" in how:
            found = _pattern(node, path, how, classes)
        if found is None and path[0] != "__class__":
            found = _substitute_on(node, path, how == {"called"}, classes)
        if found is not None:
            yield found


def _how(use: Use) -> str:
    asks = use.argument is not None and use.argument.callees == {("isinstance", ())}
    return "asked" if asks else use.how


def _pattern(node: Function, path: Path, how: set[str], classes: Any) -> tuple[Path, Any] | None:
    """A class in `case Class():` that a number may be of: Python would ask the dual, which is of none."""
    value = _found(node, path)
    kind = classes.standins.of_pattern(value) if isinstance(value, type) else None
    if isinstance(value, type) and kind is None:
        return None
    if kind is None or not how <= {"matched", "asked", "called", "neutral"}:
        name = ".".join((path[0], *path[1]))
        also = f"and has other uses for `{name}`" if kind else f"where `{name}` is a variable"
        raise DerivativeError(
            f"`{node.function.__name__}` asks by `case {name}():` what kind of number it has, {also}. Ask by "
            f"`isinstance(x, {name})`."
        )
    return path, kind


def _found(node: Function, path: Path) -> Any:
    root, steps = path
    value = getattr(builtins, root) if _is_builtin(node, root) and hasattr(builtins, root) else None
    value = node.lookup((root, ())) if value is None else value
    for step in steps:
        value = getattr(value, step, None)
    return value


def _substitute_on(node: Function, path: Path, only_called: bool, classes: Any) -> tuple[Path, Any] | None:
    root, steps = path
    built_in = getattr(builtins, root, None) if _is_builtin(node, root) else None
    value = node.lookup((root, ())) if built_in is None else built_in
    for taken in range(len(steps) + 1):
        step = steps[taken] if taken < len(steps) else None
        replacement = classes.standins.of(value) or classes.distribution(value) or classes(value)
        if replacement is None and only_called and step is None:
            # As an argument (`dtype=float`) these types have to stay what they are.
            replacement = classes.standins.of_type(value)
        if replacement is not None:
            return (root, steps[:taken]), replacement
        value = None if step is None else getattr(value, step, None)
    return None


def _is_builtin(node: Function, name: str) -> bool:
    code = node.function.__code__
    return name not in (*node.function.__globals__, *code.co_varnames, *code.co_cellvars, *code.co_freevars)

"""Classes of structs (dataclasses, NamedTuples), rebuilt so that methods (`d.logpdf(x)`) work on duals.

A rebuilt class is a subclass of the user's own, made for one evaluation; results get the user's class back.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import optree

from fwddiff import _tree, dual, rules
from fwddiff._beside import refusing
from fwddiff._capture import Function, holds_host_array, is_foreign, plan, refuse_state
from fwddiff._capture import is_struct_class as is_written_struct_class
from fwddiff._errors import CaptureError
from fwddiff.engines.numpy.rebuild import Rebuilt, is_touched
from fwddiff.engines.numpy.standins import StandIns
from fwddiff.engines.numpy.trees import mapped


class _Rebuilt(type):
    """Marks rebuilt classes."""


class Structs:
    """The rebuilt classes of one evaluation: `self(cls)` is the rebuilt class or `None`."""

    def __init__(
        self, owned: Callable[[Any], bool], plans: dict[type, dict[str, Function]], standins: StandIns
    ):
        self.owned, self.plans, self.standins = owned, plans, standins
        self.losing: set[type] = set()  # classes of instances that go without some attributes
        self.rebuilt: dict[type, type | None] = {}
        self.originals: dict[type, type] = {}

    def __call__(self, value: Any) -> type | None:
        if not is_struct_class(value):
            return self.originals.get(value) if isinstance(value, type) else None
        if value not in self.rebuilt:
            # First the class, then its methods: they may name their own class.
            rebuilt = self.rebuilt[value] = self._subclass(value)
            if value in self.losing:
                # Of a class made here, so nobody else's reading changes.
                rebuilt.__getattribute__ = refusing  # type: ignore[method-assign]
            if not self._rebuild_methods(value, rebuilt) and value not in self.losing:
                self.rebuilt[value] = None
        return self.rebuilt[value]

    def distribution(self, value: Any) -> Callable | None:
        """What stands for a function of `scipy.stats`: ours, on classes that are rebuilt here."""
        own = rules.distribution_function(value)
        if own is None or self.standins.special is not dual.stand_in:
            return None if own is None else self.standins.special(own, value)
        rebuilt = Rebuilt(plan(own, self.owned), self)
        rebuilt.set_captured([])
        return dual.element_by_element(rebuilt.call)

    def _subclass(self, cls: type) -> type:
        # `isinstance(x, cls)` in rebuilt code has to be true of the user's own instances too.
        members = {"__instancecheck__": lambda _, x: isinstance(x, cls)}
        meta = type(type(cls).__name__, (_Rebuilt, type(cls)), members)
        rebuilt = meta(cls.__name__, (cls,), {"__slots__": (), "__module__": cls.__module__})
        rebuilt.__qualname__ = cls.__qualname__
        self.originals[rebuilt] = cls
        return rebuilt

    def _rebuild_methods(self, cls: type, rebuilt: type) -> int:
        """Number of methods that had to be rebuilt."""
        plans = self.plans.get(cls)
        if plans is None or not all(node.current() for node in plans.values()):
            plans = self.plans[cls] = method_plans(cls, self.owned)
        changed = {n: node for n, node in plans.items() if n == "__bool__" or is_touched(node, self)}
        for name, node in changed.items():
            setattr(rebuilt, name, _of_its_kind(name, inspect.getattr_static(cls, name), self._method(node)))
        return len(changed)

    def _method(self, node: Function) -> Callable:
        if any(member.state is not None for member in node.nodes()):
            return lambda *arguments, **keywords: refuse_state(node)  # only where it is called
        rebuilt = Rebuilt(node, self)
        rebuilt.set_captured(node.values())
        return rebuilt.call

    def adopted(self, tree: Any) -> Any:
        """The same nested value, with instances of rebuilt classes."""
        return self._exchanged(tree, lambda cls: self(cls) or cls)

    def restored(self, tree: Any) -> Any:
        """The same nested value, with instances of the user's classes."""
        return self._exchanged(tree, lambda cls: self.originals.get(cls, cls)) if self.originals else tree

    def _exchanged(self, tree: Any, choose: Callable[[type], type]) -> Any:
        return mapped(lambda leaf: leaf, tree, choose)


def _of_its_kind(name: str, member: Any, function: Callable) -> Any:
    """A function as what the user's member is: a method, a property, a static method or one of the class."""
    if name == "__bool__":  # for which Python takes nothing but a bool: NumPy's numbers compare to another
        return lambda instance: bool(function(instance))
    if isinstance(member, property | functools.cached_property):
        return property(function)
    return type(member)(function) if isinstance(member, staticmethod | classmethod) else function


def is_struct_class(value: Any) -> bool:
    """Whether this is a class of structs that the user wrote, and not one rebuilt here."""
    return is_written_struct_class(value) and not issubclass(type(value), _Rebuilt)


def struct_classes(spec: optree.PyTreeSpec) -> Iterator[type]:
    """Classes of structs among the nodes of a tree."""
    if spec.type is not None and is_struct_class(spec.type):
        yield spec.type
    for child in spec.children():
        yield from struct_classes(child)


def losing_classes(spec: optree.PyTreeSpec) -> Iterator[type]:
    """Classes of which instances in this structure go without some attributes."""
    return (cls for cls, held in _tree.beside(spec) if held.lost)


def methods(cls: type) -> Iterator[tuple[str, FunctionType]]:
    """Functions of the methods, properties, static and class methods that the user wrote, inherited ones
    included."""
    for base in reversed(cls.__mro__):
        if not is_foreign(base.__module__):
            found = ((name, _function_of(member)) for name, member in vars(base).items())
            yield from ((n, m) for n, m in found if isinstance(m, FunctionType) and _is_written(m, base))


def _function_of(member: Any) -> Any:
    if isinstance(member, functools.cached_property):
        return member.func
    if isinstance(member, property):
        return member.fget
    return member.__func__ if isinstance(member, staticmethod | classmethod) else member


def _is_written(member: FunctionType, base: type) -> bool:
    """Methods that `dataclass` and `namedtuple` make have no file of their own."""
    return member.__code__.co_filename not in ("<string>", "") and not member.__code__.co_filename.startswith(
        "<frozen"
    )


def method_plans(cls: type, owned: Callable[[Any], bool]) -> dict[str, Function]:
    """What the methods of a class capture. Raises CaptureError if that is an array of a host."""
    return {name: _method_plan(cls, name, method, owned) for name, method in methods(cls)}


def _method_plan(cls: type, name: str, method: FunctionType, owned: Callable[[Any], bool]) -> Function:
    node = plan(method, owned, with_state=True)
    for capture, value in zip(node.captures, node.values(), strict=True):
        if holds_host_array(value, owned):
            raise CaptureError(
                f"the method `{cls.__name__}.{name}` captures `{capture.name}`, an array of a framework, "
                "whose derivative would be lost. Make it a field of the struct, or pass it as an argument."
            )
    return node

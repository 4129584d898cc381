"""What an instance of a dataclass holds beside its fields: set by `__post_init__`, an `__init__`, or later.

The fields are leaves of a call and have derivatives. What else an instance holds is of two kinds. Text,
integers and the like cannot depend on a derivative: they go along by value, and are part of the call's
signature. Of everything else (a float computed from a field, an array, a function) nothing says how it
depends on the fields: an instance made again goes without it, and code that reads it is refused.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import types
from typing import Any

import numpy as np

from fwddiff._errors import CaptureError, StructureError

# Where an instance inside the user's function keeps the names that it goes without.
LOST = "__fwddiff_lost__"
_EXACT = (str, bytes, bool, int, types.NoneType, enum.Enum, np.bool_, np.integer)


class Beside:
    """Attributes beside the fields: those that go along, by name, and the names of those that do not.

    Equal for instances that code cannot tell apart; kept as the data of a node in a tree's structure.
    """

    __slots__ = ("_key", "carried", "lost")

    def __init__(self, carried: dict[str, Any], lost: tuple[str, ...]):
        self.carried, self.lost = carried, lost
        self._key = lost, tuple([(name, _told(value)) for name, value in carried.items()])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Beside) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Beside({self.carried}, lost={self.lost})"

    def give_to(self, instance: Any, with_mark: bool) -> None:
        """Set what goes along; `with_mark`: and what the instance goes without."""
        for name, value in self.carried.items():
            object.__setattr__(instance, name, value)
        if with_mark and self.lost:
            held(instance)[LOST] = self.lost

    def described(self) -> tuple:
        """What kernels on disk depend on."""
        return self.lost, sorted(self.carried.items())


def _told(value: Any) -> Any:
    """`1`, `True` and `1.0` are equal and not the same."""
    return (type(value), *map(_told, value)) if type(value) is tuple else (type(value), value)


def _is_exact(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_exact, value))
    return isinstance(value, _EXACT)


class Form:
    """How instances of one dataclass are read and made."""

    def __init__(self, cls: type):
        _refuse_unreadable(cls)
        self.cls = cls
        self.names = tuple(field.name for field in dataclasses.fields(cls))
        self.has_dict = bool(cls.__dictoffset__)
        in_dict = [n for n in self.names if not isinstance(inspect.getattr_static(cls, n, None), _MEMBER)]
        self.dict_size = len(in_dict)
        self.slots = tuple(n for n in _slots(cls) if n not in self.names)

    def is_plain(self, instance: Any) -> bool:
        """Whether an instance holds its fields and no more, as nearly all do."""
        return not self.slots and (not self.has_dict or len(held(instance)) == self.dict_size)

    def beside(self, instance: Any) -> Beside | None:
        """What an instance holds beside its fields; `None`: nothing."""
        if self.is_plain(instance):
            return None
        own = held(instance) if self.has_dict else {}
        found = {name: value for name, value in own.items() if name not in self.names and name != LOST}
        members = {name: inspect.getattr_static(self.cls, name, None) for name in found}
        found = {n: value for n, value in found.items() if not is_recomputed(self.cls, members[n])}
        slots = {name: getattr(instance, name) for name in self.slots if hasattr(instance, name)}
        carried = {name: value for name, value in (found | slots).items() if _is_exact(value)}
        lost = {name for name in found if name not in carried}.union(own.get(LOST, ()))
        for name in slots.keys() - carried.keys():
            raise StructureError(
                f"{refusal(self.cls, name)} (A class with `__slots__` has no place to say so later.)"
            )
        return Beside(carried, tuple(sorted(lost))) if carried or lost else None


def is_recomputed(cls: Any, member: object) -> bool:
    """Whether this is a `cached_property` of a class whose fields do not change: it is computed anew, with
    its derivative."""
    return isinstance(member, functools.cached_property) and cls.__dataclass_params__.frozen


def held(instance: Any) -> dict[str, Any]:
    """All that an instance holds, also where reading it is refused to the user's code."""
    return object.__getattribute__(instance, "__dict__")


def refusing(self: Any, name: str) -> Any:
    """`self.name`, where the instance has all that is known of it by that name."""
    own = held(self)
    if LOST in own and (name == "__dict__" or (name in own[LOST] and name not in own)):
        raise CaptureError(refusal(type(self), own[LOST][0] if name == "__dict__" else name))
    return object.__getattribute__(self, name)


@functools.cache
def guarded(cls: type) -> type:
    """A class of instances of `cls` that say what they go without, for code that is not rebuilt."""
    members = {"__slots__": (), "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    members |= {"__getattribute__": refusing, "__class__": property(lambda self: cls)}
    return type(cls)(cls.__name__, (cls,), members)


_MEMBER = types.MemberDescriptorType


def _slots(cls: type) -> list[str]:
    return [
        name for base in cls.__mro__ for name, member in vars(base).items() if isinstance(member, _MEMBER)
    ]


def _refuse_unreadable(cls: type) -> None:
    """Raises `StructureError` for a class of which reading and setting fields is not all there is to an
    instance."""
    built_in = next(base for base in cls.__mro__ if not base.__flags__ & (1 << 9))
    if built_in is not object:
        raise StructureError(
            f"{cls.__qualname__} is a {built_in.__name__} besides being a dataclass, and what it "
            f"holds as one is not among its fields. Make the {built_in.__name__} a field of it."
        )
    if cls.__getattribute__ not in (object.__getattribute__, refusing):
        raise StructureError(
            f"{cls.__qualname__} has a `__getattribute__`, which would change its fields each time an "
            "instance is made from them again. Make what it does a property or a method."
        )
    for field in dataclasses.fields(cls):
        found = inspect.getattr_static(cls, field.name, None)
        if hasattr(type(found), "__set__") and not isinstance(found, _MEMBER):
            raise StructureError(
                f"the field `{field.name}` of {cls.__qualname__} is kept by a {type(found).__name__}, whose "
                "`__set__` would run again each time an instance is made from its fields. Make it a plain "
                "field, or write a function that makes instances."
            )


def named_tuple_refusal(cls: type, name: str) -> StructureError:
    return StructureError(
        f"`{name}` was set on an instance of {cls.__qualname__}, a NamedTuple, and is none of its fields: an "
        f"instance made from its fields again goes without it. Make `{name}` a field."
    )


def refusal(cls: type, name: str) -> str:
    """Why code that reads the attribute `name` of an instance is refused."""
    member = inspect.getattr_static(cls, name, None)
    cls_name = cls.__qualname__
    if isinstance(member, functools.cached_property):
        return (
            f"`{cls_name}.{name}` has been computed before, and the fields of {cls_name} may have changed "
            "since. Use `@dataclass(frozen=True)`, or `@property` instead of `@cached_property`."
        )
    hides = (
        ", where it hides what the class has by this name" if not isinstance(member, _MEMBER | None) else ""
    )
    return (
        f"`{name}` was set on an instance of {cls_name} (in `__post_init__`, `__init__` or later), and is "
        f"none of its fields{hides}: nothing says how it depends on them, so its derivative would be lost. "
        f"Make `{name}` a property, which is computed where it is read, or a field, which is an input of its "
        f"own, or make the {cls_name} inside the function."
    )

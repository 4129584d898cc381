"""What constructing an instance of a user's class does."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable
from typing import Any

# Marks a `__post_init__` that raises or does nothing: a kernel constructs without it.
CHECKS_ONLY = "__fwddiff_checks_only__"


def checks_only(post_init: Callable) -> Callable:
    """Decorator of a `__post_init__` that does no more than to raise where the fields make no sense."""
    setattr(post_init, CHECKS_ONLY, True)
    return post_init


@checks_only
def _checks_nothing() -> None: ...


def init_only(cls: type) -> list[str]:
    """Parameters of a dataclass's construction that become no field (`InitVar`) and have a default."""
    if not dataclasses.is_dataclass(cls):
        return []
    kept = {field.name for field in dataclasses.fields(cls)}
    parameters = inspect.signature(cls).parameters.values()
    return [p.name for p in parameters if p.name not in kept and p.default is not p.empty]


def own_construction(cls: type) -> str | None:
    """What making a dataclass or NamedTuple runs beside filling its fields, for messages; `None`: nothing."""
    if type(cls).__call__ is not type.__call__:
        return f"a metaclass, {type(cls).__qualname__}"
    if issubclass(cls, tuple):
        return next((name for name in ("__new__", "__init__") if _is_overridden(cls, name)), None)
    for name, is_own in (
        ("__post_init__", not hasattr(getattr(cls, "__post_init__", _checks_nothing), CHECKS_ONLY)),
        ("__new__", cls.__new__ is not object.__new__),
        ("__init__", not _has_generated_init(cls)),
        ("__setattr__", cls.__setattr__ is not object.__setattr__ and not _options(cls).frozen),
    ):
        if is_own:
            return name
    described = (field.name for field in dataclasses.fields(cls) if _is_described(cls, field.name))
    return next((f"a descriptor for {name}" for name in described), None)


def _is_overridden(cls: type, name: str) -> bool:
    """Whether a NamedTuple's subclass has its own; the class that `NamedTuple` made has `_fields`."""
    definer = _definer(cls, name)
    return definer not in (tuple, object) and "_fields" not in vars(definer)


def _has_generated_init(cls: type) -> bool:
    definer = _definer(cls, "__init__")
    # A class that defines its own keeps it, whatever the option says; generated code has no file.
    code: Any = getattr(vars(definer)["__init__"], "__code__", None)
    generated = "__dataclass_params__" in vars(definer) and _options(definer).init
    generated = generated and code is not None and code.co_filename == "<string>"
    return generated and dataclasses.fields(definer) == dataclasses.fields(cls)


def _options(cls: Any) -> Any:
    return cls.__dataclass_params__


def _definer(cls: type, name: str) -> type:
    return next(owner for owner in cls.__mro__ if name in vars(owner))


def _is_described(cls: type, name: str) -> bool:
    found = inspect.getattr_static(cls, name, None)
    return hasattr(found, "__set__") and not isinstance(found, types.MemberDescriptorType)

"""Nested arguments ↔ flat leaves, by optree; dataclasses are nodes too, registered as they are met.

`None` is an empty node. Leaves are numbers, arrays of a host, and *static* things (strings, functions, …),
which are part of a call's signature and are never differentiated.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import optree

from fwddiff._beside import Beside, Form, guarded, named_tuple_refusal, refusal
from fwddiff._classes import own_construction
from fwddiff._errors import StructureError

NAMESPACE = "fwddiff"
# Dicts keep their order, which a function that goes through them depends on. The switch of one namespace is
# public as a context only: this one is entered for good.
_ORDERED = optree.dict_insertion_ordered(True, namespace=NAMESPACE)
_ORDERED.__enter__()

# Reads the fields of each class registered here.
_registered: dict[type, Callable[[Any], Any]] = {}
_forms: dict[type, Form] = {}
_named_tuples: set[type] = set()
# Structures whose NamedTuples are known to hold their fields alone, or are registered as nodes that look.
_looked_at: set[optree.PyTreeSpec] = set()
# Of each thread: `marks`, whether instances are being made for the user's code; `met`, what they go without.
_making = threading.local()
# Types of which every instance is a leaf: numbers, and arrays as they are met. Such calls need no optree.
_leaf_types: set[type] = {float, int, bool}
_MOST_LOOKED_AT = 10_000
# Opens each kind of a host's own containers.
_containers: dict[type, Callable[[Any], Any]] = {}


def register_container(cls: type, contents: Callable[[Any], Any]) -> None:
    """Take a host's own containers of this class for what `contents` makes of them: tuple, list or dict."""
    _containers[cls] = contents


def _opened(leaf: Any) -> Any:
    contents = _containers.get(type(leaf))
    return leaf if contents is None else contents(leaf)


def _spec(tree: Any) -> optree.PyTreeSpec:
    return optree.tree_structure(tree, namespace=NAMESPACE)


_LEAF_SPEC = _spec(0.0)


def flatten(tree: Any) -> tuple[list[Any], optree.PyTreeSpec]:
    """Leaves of a nested structure, and its structure."""
    kind = type(tree)
    if kind is tuple and _leaf_types.issuperset(map(type, tree)):
        return list(tree), _flat_spec(len(tree))
    if kind in _leaf_types:
        return [tree], _LEAF_SPEC
    if kind is tuple and (leaves := _shallow_leaves(tree)) is not None:
        return leaves, _shallow_spec(tuple(map(type, tree)))
    leaves, spec = optree.tree_flatten(tree, namespace=NAMESPACE)
    unknown = {type(leaf) for leaf in leaves} - _leaf_types
    if not unknown.isdisjoint(_containers):
        return flatten(optree.tree_map(_opened, tree, namespace=NAMESPACE))
    fresh = [cls for cls in unknown if dataclasses.is_dataclass(cls)]
    _leaf_types.update(cls for cls in unknown if hasattr(cls, "dtype") and cls not in fresh)
    for cls in fresh:
        register_dataclass(cls)
    return flatten(tree) if fresh or _registers_named_tuples(spec) else (leaves, spec)


@functools.cache
def _flat_spec(length: int) -> optree.PyTreeSpec:
    """Structure of a tuple of so many leaves."""
    return _spec((0.0,) * length)


def is_flat(spec: optree.PyTreeSpec) -> bool:
    """Whether this is the structure of a tuple of leaves."""
    return spec == _flat_spec(spec.num_leaves)


def _shallow_leaves(tree: tuple) -> list[Any] | None:
    """Leaves of a tuple of leaves and of dataclasses of leaves; `None` for deeper trees."""
    leaves = []
    for child in tree:
        kind = type(child)
        if kind in _leaf_types:
            leaves.append(child)
        elif kind in _registered:
            fields = _registered[kind](child)
            if not _forms[kind].is_plain(child) or not _leaf_types.issuperset(map(type, fields)):
                return None
            leaves += fields
        else:
            return None
    return leaves


@functools.cache
def _shallow_spec(kinds: tuple[type, ...]) -> optree.PyTreeSpec:
    """Structure of a tuple of such children: their types tell."""
    blank = [
        0.0 if kind in _leaf_types else _rebuild(kind, None, [0.0] * len(_names(kind))) for kind in kinds
    ]
    return _spec(tuple(blank))


def unflatten(spec: optree.PyTreeSpec, leaves: Sequence[Any]) -> Any:
    return optree.tree_unflatten(spec, leaves)


def is_dataclass_instance(leaf: Any) -> bool:
    return dataclasses.is_dataclass(leaf) and not isinstance(leaf, type)


def register_dataclass(cls: type) -> None:
    """Make the fields of a dataclass the children of a node.

    Rebuilding sets the fields and runs neither `__init__` nor `__post_init__`: they hold tracers or whole
    arrays then, which a check of the class may not expect.
    """
    if cls in _registered:
        return
    form = _forms[cls] = Form(cls)
    names = form.names
    read = operator.attrgetter(*names) if len(names) > 1 else _reader(names)
    optree.register_pytree_node(
        cls,
        lambda instance: (read(instance), form.beside(instance), names),
        lambda beside, values: _rebuild(cls, beside, values),
        namespace=NAMESPACE,
    )
    _registered[cls] = read


def _names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


def _reader(names: tuple[str, ...]) -> Callable[[Any], tuple]:
    """`attrgetter` makes a tuple of two fields or more only."""
    return lambda instance: tuple([getattr(instance, name) for name in names])


def _rebuild(cls: type, beside: Any, values: Iterable[Any]) -> Any:
    marks = beside is not None and beside.lost and getattr(_making, "marks", None)
    instance = object.__new__(guarded(cls) if marks == "guarded" else cls)
    for name, value in zip(_names(cls), values, strict=True):
        object.__setattr__(instance, name, value)
    if beside is not None:
        beside.give_to(instance, bool(marks))
        if (met := getattr(_making, "met", None)) is not None:
            met.append((cls, beside))
    return instance


def _registers_named_tuples(spec: optree.PyTreeSpec) -> bool:
    """Registers classes derived from NamedTuples whose instances can hold more than fields; whether there
    were any, which makes the structure another one."""
    if spec in _looked_at:
        return False
    found = {cls for cls in node_types(spec) if optree.is_namedtuple_class(cls) and cls.__dictoffset__}
    fresh = [cls for cls in found if cls not in _named_tuples and own_construction(cls) is None]
    for cls in fresh:
        _register_named_tuple(cls)
    if not fresh and len(_looked_at) < _MOST_LOOKED_AT:
        _looked_at.add(spec)
    return bool(fresh)


def _register_named_tuple(cls: Any) -> None:
    def parts(instance: Any) -> tuple:
        for name in vars(instance):
            raise named_tuple_refusal(cls, name)
        return tuple(instance), None, cls._fields

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it takes the place of what optree does
        optree.register_pytree_node(
            cls, parts, lambda _, values: tuple.__new__(cls, values), namespace=NAMESPACE
        )
    _named_tuples.add(cls)


# --- what instances hold beside their fields ----------------------------------------------------------------


@functools.lru_cache(1024)
def beside(spec: optree.PyTreeSpec) -> tuple[tuple[type, Beside], ...]:
    """What the dataclass instances of this structure hold beside their fields, where they do."""
    _making.met = []
    try:
        optree.tree_unflatten(spec, [0.0] * spec.num_leaves)
        return tuple(_making.met)
    finally:
        _making.met = None


def loses(spec: optree.PyTreeSpec) -> bool:
    """Whether instances of this structure go without some attributes."""
    return any(one.lost for _, one in beside(spec))


def unflatten_for_code(spec: optree.PyTreeSpec, leaves: Sequence[Any], marks: str = "marked") -> Any:
    """The nested value that the user's code gets: its instances hold a mark of what they go without, or are
    "guarded", so that reading it raises."""
    if not loses(spec):
        return unflatten(spec, leaves)
    _making.marks = marks
    try:
        return unflatten(spec, leaves)
    finally:
        _making.marks = None


def check_result(spec: optree.PyTreeSpec) -> None:
    """Raises `StructureError` for a result that would come back without some of its attributes."""
    for cls, one in beside(spec):
        for name in one.lost:
            raise StructureError(f"in a result, {refusal(cls, name)}")


def check_rebuilding(spec: optree.PyTreeSpec) -> None:
    """Raises `StructureError` for a NamedTuple that might change its fields when made from them again."""
    cls: Any = spec.type
    own = own_construction(cls) if optree.is_namedtuple_class(cls) else None
    if own:
        raise StructureError(
            f"{cls.__qualname__} has {own}, which would run again each time an instance is rebuilt "
            "from its fields. Make instances by a function instead."
        )
    for child in spec.children():
        check_rebuilding(child)


def node_types(spec: optree.PyTreeSpec) -> Iterator[type]:
    """Types of the nodes of a tree."""
    if not spec.is_leaf():
        if spec.type is not None:
            yield spec.type
        for child in spec.children():
            yield from node_types(child)


def leaf_paths(spec: optree.PyTreeSpec) -> list[str]:
    """How a user would write each leaf below the root, such as `.rate` or `['mu'][0]`."""
    return [accessor.codify("") for accessor in spec.accessors()]


def map_leaves(function: Callable, spec: optree.PyTreeSpec, leaves: Sequence[Any]) -> Any:
    return unflatten(spec, [function(leaf) for leaf in leaves])

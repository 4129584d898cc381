"""What a host is, and whose arrays these are.

A host is a framework whose reverse mode calls us: one file in `hosts/`, named after the import that makes it
exist. It is loaded only when its framework already is (`sys.modules`), and it alone says which leaves are its
own. A host module has

    owns(leaf) → bool            shape(leaf) → tuple          dtype(leaf) → numpy.dtype
    integer_dtype(), float_dtype() → numpy.dtype              results that come from no array
    detach(leaf) → leaf                                       the same values as a constant
    apply(rule, leaves) → list of outputs                     record an op: the only way derivatives happen
    checkpoint(function, leaves) → list of outputs            of a function that runs again in the pullback

and, where they differ from the obvious, `canonical_dtype(dtype)`, `weak(leaf)` (also asked about NumPy's
scalars and arrays) and `NUMBERS_YIELD`: the float dtype of an array without axes gives way to that of arrays
with axes; `CHECKPOINT_LOSES_CAPTURED`: its checkpoint takes what the function captures for
constants; where it computes at once, `values(leaf)`: the leaf's numbers as a NumPy array (one element of
a batch will do), `None` while it traces.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np

from fwddiff import _capture, _dual_host, hosts
from fwddiff._errors import ArgumentError, HostError
from fwddiff._probe import probe

_PLAIN = (float, int, bool, np.generic, np.ndarray, str, bytes, type(None))


@functools.cache
def host_names() -> tuple[str, ...]:
    """Import names of all frameworks that have a file in `hosts/`."""
    return tuple(
        module.name for module in pkgutil.iter_modules(hosts.__path__) if not module.name.startswith("_")
    )


def loaded_hosts() -> list[ModuleType]:
    """Host modules of the frameworks that the user has imported."""
    return [host_module(name) for name in host_names() if name in sys.modules]


@functools.cache
def host_module(name: str) -> ModuleType:
    return importlib.import_module(f"fwddiff.hosts.{name}")


def _is_plain(leaf: Any) -> bool:
    """Kinds of NumPy's array are asked about: the typed constants of jax 0.12 are such."""
    return isinstance(leaf, _PLAIN) and (type(leaf) is np.ndarray or not isinstance(leaf, np.ndarray))


def owner(leaf: Any) -> ModuleType | None:
    """The host that owns this leaf, if any."""
    if _is_plain(leaf):
        return None
    if _dual_host.owns(leaf):
        return _dual_host
    return _framework(leaf)


def is_owned(leaf: Any) -> bool:
    """Whether the leaf is an array of any framework."""
    return not _is_plain(leaf) and _framework(leaf) is not None


def _framework(leaf: Any) -> ModuleType | None:
    return next((host for host in loaded_hosts() if host.owns(leaf)), None)


_owners: dict[type, Any] = {}


def _owner_or_type(leaf: Any) -> Any:
    """The same for all types of arrays of a host, which share a rule: tensors, parameters, fake tensors;
    arrays and tracers."""
    kind = type(leaf)
    found = _owners.get(kind)
    if found is None:
        found = _owners[kind] = owner(leaf) or kind
    return found


def leaf_signature(leaf: Any) -> Any:
    """What the choice of a rule may depend on, as cheaply as possible."""
    kind = type(leaf)
    if kind in (float, int, bool):
        return kind
    try:
        dtype = getattr(leaf, "dtype", None)
    except Exception:  # as `probe` does, whose call each array of each call would wait for
        dtype = None
    found = _owner_or_type(leaf)
    if dtype is not None:
        # Variables of TensorFlow have no `ndim`.
        axes = leaf.ndim if hasattr(leaf, "ndim") else str(leaf.shape)
        return found, dtype, axes, getattr(leaf, "weak_type", False)
    if found is not kind:  # arrays without a dtype of their own: the host knows it
        return found, found.dtype(leaf), len(found.shape(leaf)), is_weak(found, leaf)
    return (kind, leaf) if isinstance(leaf, str | bytes) or callable(leaf) else _capture.content(leaf)


def common_owner(leaves: Iterable[Any], where: str) -> ModuleType | None:
    """The one host among the owners of these leaves; an error names both if there are two."""
    found: ModuleType | None = None
    first: Any = None
    for leaf in leaves:
        host = owner(leaf)
        if host is None or host is found:
            continue
        if found is not None:
            raise HostError(
                f"{where}: a {_describe(first, found)} and a {_describe(leaf, host)} in one call. "
                "Convert one of them, so that all arrays belong to the same framework."
            )
        found, first = host, leaf
    return found


def _describe(leaf: Any, host: ModuleType) -> str:
    if host is _dual_host:
        return "dual number (of a derivative that is being computed)"
    return f"{type(leaf).__name__} of {host.__name__.rpartition('.')[2]}"


def values(leaf: Any, host: ModuleType | None) -> np.ndarray | None:
    """The numbers of a leaf, if they can be had now."""
    if host is None or not host.owns(leaf):
        return np.asarray(leaf)
    return host.values(leaf) if hasattr(host, "values") else None


def canonical_dtype(host: ModuleType, dtype: np.dtype) -> np.dtype:
    """The host's own version of a dtype that it may not have (JAX without 64-bit types)."""
    return host.canonical_dtype(dtype) if hasattr(host, "canonical_dtype") else dtype


def is_weak(host: ModuleType | None, leaf: Any) -> bool:
    """Whether an array stands for a Python number, whose dtype gives way to that of other arrays (JAX's weak
    types, NumPy's scalars in PyTorch)."""
    return hasattr(host, "weak") and host.weak(leaf)  # type: ignore[union-attr]


def yields(host: ModuleType, ndim: int) -> bool:
    """Whether an array of so many axes gives way to those with axes, if its dtype is the larger one."""
    return ndim == 0 and getattr(host, "NUMBERS_YIELD", False)


def plain_dtype(leaf: Any) -> np.dtype:
    """Dtype of a leaf without a host; Python numbers give float64, int64 and bool."""
    dtype = np.asarray(leaf).dtype
    if dtype.kind not in "fiub":
        raise ArgumentError(
            f"a leaf of dtype {dtype} ({type(leaf).__name__}): only real floats, integers and "
            "bools are supported."
        )
    if (dtype.itemsize == 2 and dtype.kind == "f") or dtype.itemsize > 8:
        raise ArgumentError(f"a leaf of dtype {dtype}: convert it to float32 or float64.")
    return dtype.newbyteorder("=")


_TAKEN = (np.ndarray, np.memmap, np.recarray)
_ARRAY_LIKE = ("__array__", "__array_ufunc__", "__array_interface__")


def _masked() -> Any:
    """NumPy's masked arrays; nothing where their module, which takes a while, is not imported."""
    module = sys.modules.get("numpy.ma")
    return module.MaskedArray if module else ()


def why_no_array(leaf: Any, host: ModuleType | None) -> str | None:
    """Why the numbers in an array-like leaf must not be taken for the leaf, and what to pass instead; `None`
    for NumPy's own arrays and what is not like an array."""
    kind = type(leaf)
    named = f"a {kind.__qualname__} of {kind.__module__.partition('.')[0]}"
    if isinstance(leaf, _masked()):
        return (
            f"{named}, whose mask would be lost: pass the elements that count, x.compressed(), or a value "
            "for the others, x.filled(...); np.asarray(x) ignores the mask."
        )
    if isinstance(leaf, np.matrix):
        return f"{named}, whose products are not elementwise: pass np.asarray(x)."
    if isinstance(leaf, np.ndarray):
        if kind in _TAKEN or (host is not None and host.owns(leaf)):
            return None
        return (
            f"{named}, whose meaning beyond its numbers (a unit, say) would be lost: pass the numbers alone, "
            "np.asarray(x), in the unit that the function expects."
        )
    if (
        (host and host.owns(leaf))
        or isinstance(leaf, np.generic | type)
        or not any(hasattr(kind, name) for name in _ARRAY_LIKE)
    ):
        return None
    if probe(leaf, "columns") is not None and probe(leaf, "to_numpy") is not None:
        return f"{named}: pass its columns as NumPy arrays, one by one: x['name'].to_numpy()."
    if probe(leaf, "to_numpy") is not None:
        return f"{named}: pass a NumPy array instead, x.to_numpy()."
    return f"{named}, which no loaded framework owns: pass a NumPy array instead, as np.asarray(x) may give."

"""State: what gives something else at each call, and what a call would change for the next one.

Value and derivative are computed by different runs of a function, and a kernel may run it any number of
times. Random numbers, clocks, iterators that are used up, and what the function writes to beyond its own
variables would make value and derivative belong to different functions, silently. So they are refused.
"""

from __future__ import annotations

import builtins
import collections
import collections.abc
import datetime
import io
import os
import random
import sys
import time
import types
from collections.abc import Iterable
from types import CodeType
from typing import Any

import numpy as np

from fwddiff._capture._bytecode import nested_codes, uses
from fwddiff._capture._function import Function, attributes
from fwddiff._capture._instructions import instructions
from fwddiff._capture._names import look_up, root_reader, unbound
from fwddiff._capture._stack import ELEMENT, Use, parameters
from fwddiff._capture._values import is_foreign
from fwddiff._errors import CaptureError
from fwddiff._probe import probe

_GENERATORS = (random.Random, np.random.Generator, np.random.BitGenerator, np.random.RandomState)
_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
_CHANGING = (
    input,
    os.urandom,
    np.random.default_rng,
    np.random.SeedSequence,
    np.random.seed,
    np.random.get_state,
    np.random.set_state,
    *(getattr(time, f"{name}{unit}") for name in _CLOCKS for unit in ("", "_ns")),
)
# Of frameworks that are not imported here: by name of the module and of what is called.
_RANDOM_ELSEWHERE = {
    "torch": {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson"}
    | {"rand_like", "randn_like", "randint_like", "manual_seed"},
    "secrets": {"token_bytes", "randbelow", "randbits", "choice", "token_hex"},
    "uuid": {"uuid1", "uuid4"},
}
_BOXES = (list, dict, set, bytearray, collections.deque, np.ndarray)
_WRITERS = {
    "append",
    "appendleft",
    "extend",
    "extendleft",
    "insert",
    "remove",
    "pop",
    "popleft",
    "popitem",
} | {
    *("clear", "sort", "reverse", "update", "setdefault", "add", "discard", "rotate"),
    *("fill", "put", "partition", "resize", "itemset", "__setitem__", "__delitem__", "__iadd__"),
}
_WRITING = {"next", "setattr", "delattr", "heappush", "heappop", "heapreplace", "heapify", "insort"} | {
    *("shuffle", "copyto", "put", "place", "putmask", "fill_diagonal", "setitem", "delitem")
}


def refuse_state(plan: Function) -> None:
    """Raises the refusal of the first function reached that depends on state or changes it; who writes a rule
    of a function answers for it."""
    for node in plan.nodes():
        if node.state is not None and node.meaning.rule is None:
            raise node.state.with_traceback(None)


def state_of(node: Function, found: Iterable[Use]) -> CaptureError | None:
    """The refusal of a function that depends on state, or writes to what outlives its call; else `None`."""
    if is_foreign(node.function.__globals__.get("__name__")):
        return None
    try:
        _look_for_state(node, found)
    except CaptureError as refusal:
        return refusal
    return None


def _look_for_state(node: Function, found: Iterable[Use]) -> None:
    for code in (node.function.__code__, *nested_codes(node.function.__code__)):
        _refuse_outer_variables(node, code)
    defaults = _defaults(node.function)
    for use in found:
        root, steps = attributes(use.path)
        read = root_reader(node.function, node.bound, root)
        if read is None:
            if root == "input" and _is_builtin(node.function, root):
                raise _changing(node, root)
            if isinstance(defaults.get(root), _BOXES) and _is_write(use):
                raise _written(node, root, defaults[root])
            continue
        owner, name, value = None, root.rpartition(" ")[2], read()
        _refuse_source(node, name, owner, value)
        for step in steps:
            owner, value, name = value, probe(value, step), f"{name}.{step}"
            _refuse_source(node, name, owner, value)
        _refuse_writing(node, use, owner, value, name)


# --- what gives something else at each call -----------------------------------------------------------------


def _refuse_source(node: Function, name: str, owner: Any, value: Any) -> None:
    if _is_random(value) or any(value is known for known in _CHANGING) or _is_elsewhere(owner, value, name):
        raise _changing(node, name)
    if _is_used_up(value):
        raise CaptureError(
            f"`{node.function.__name__}` uses up the iterator `{name}`, so that no two runs are the same: "
            "the derivative would be that of another function. Make a list or tuple of it first."
        )


def _changing(node: Function, name: str) -> CaptureError:
    return CaptureError(
        f"`{node.function.__name__}` uses `{name}`, which gives something else at each call: value and "
        "derivative would belong to different functions. Call it outside, and pass what it gives (an array "
        "of noise, one number per element) as an argument."
    )


def refuse_stateful(value: Any, name: str) -> None:
    """An argument that is no number: its state would be another in each run."""
    if _is_random(value) or _is_used_up(value):
        raise CaptureError(
            f"{name} is a {type(value).__name__}, which gives something else each time it is asked: value "
            "and derivative would belong to different functions. Pass what it gives (an array) instead."
        )


def _is_used_up(value: Any) -> bool:
    return isinstance(value, collections.abc.Iterator) and not isinstance(value, io.IOBase)


def _is_random(value: Any) -> bool:
    if type(value) in (dict, list, tuple):
        return any(map(_is_random, value.values() if isinstance(value, dict) else value))
    owner = probe(value, "__self__") if callable(value) else None
    return isinstance(value, _GENERATORS) or isinstance(owner, _GENERATORS)


def _is_elsewhere(owner: Any, value: Any, name: str) -> bool:
    last = name.rpartition(".")[2]
    if isinstance(owner, type) and issubclass(owner, datetime.date):
        return last in ("now", "today", "utcnow")
    if last == "rvs" and is_foreign(type(owner).__module__):
        return True
    if isinstance(owner, types.ModuleType):
        return last in _RANDOM_ELSEWHERE.get(owner.__name__, ())
    for module, names in _RANDOM_ELSEWHERE.items():
        if last in names and callable(value) and getattr(sys.modules.get(module), last, None) is value:
            return True
    return False


def _defaults(function: types.FunctionType) -> dict[str, Any]:
    code, given = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    return dict(zip(names[len(names) - len(given) :], given, strict=True)) | (function.__kwdefaults__ or {})


def _is_builtin(function: types.FunctionType, name: str) -> bool:
    code = function.__code__
    return hasattr(builtins, name) and name not in (*code.co_varnames, *code.co_cellvars)


# --- what a call would change -------------------------------------------------------------------------------


def _refuse_outer_variables(node: Function, code: CodeType) -> None:
    """`global` and `nonlocal` variables that get a value; those of the function itself are its own."""
    own = node.function.__code__.co_freevars
    for instruction in instructions(code):
        name, variable = instruction.opname, instruction.argval
        is_outer = name.endswith("_DEREF") and variable in own and variable in code.co_freevars
        if name in ("STORE_GLOBAL", "DELETE_GLOBAL") or (is_outer and name.startswith(("STORE_", "DELETE_"))):
            raise _written(node, variable)


def _refuse_writing(node: Function, use: Use, owner: Any, value: Any, name: str) -> None:
    steps = use.path[1]
    if use.how == "written":
        raise _written(node, name, value)
    if use.how == "updated" and isinstance(value, _BOXES) and not isinstance(value, np.ndarray):
        raise _written(node, name)  # an array may stand for its elements here
    if (
        use.how == "called"
        and steps
        and steps[-1] in _WRITERS
        and (ELEMENT in steps or isinstance(owner, _BOXES))
    ):
        raise _written(node, name.rpartition(".")[0], owner)
    if use.argument is not None and use.how == "argument" and not isinstance(value, types.ModuleType | type):
        for callee in use.argument.callees:
            if _writes(node.function, node.bound, callee, use.argument.place, value):
                raise _written(node, name, value)


def _writes(function: Any, bound: Any, path: tuple, place: int | str, value: Any) -> bool:
    """Whether a callee writes to the argument that stands at `place`."""
    if place == "out":
        return isinstance(value, np.ndarray)
    callee = look_up(function, bound, *path)
    if callee is None and _is_builtin(function, path[0]):
        callee = getattr(builtins, path[0])
    instance, inner = unbound(callee)
    if not isinstance(inner, types.FunctionType) or is_foreign(inner.__module__):
        return place == 0 and getattr(callee, "__name__", "") in _WRITING
    names = parameters(inner.__code__)
    name = place if isinstance(place, str) else dict(enumerate(names, -(instance is not None))).get(place)
    return isinstance(value, _BOXES) and any(
        _is_write(use) for use in uses(inner.__code__) if use.path[0] == name
    )


def _is_write(use: Use) -> bool:
    by_method = use.how == "called" and not _WRITERS.isdisjoint(use.path[1][-1:])
    return use.how == "written" or by_method


def _written(node: Function, name: str, value: Any = None) -> CaptureError:
    advice = (
        f"If it is a buffer, which each call fills anew, make it a cache, `fd.DiffCache({name})`, and take "
        "the array by `fd.get_tmp(cache, x)`."
        if isinstance(value, np.ndarray)
        else "Pass the old value as an argument and return the new one."
    )
    return CaptureError(
        f"`{node.function.__name__}` writes to `{name}`, which outlives the call: value and derivative, "
        f"which are computed by different runs, would belong to different functions. {advice}"
    )

"""`torch.compile`: what Dynamo sees of a call while it reads the caller's code.

Dynamo interprets `traced` line by line, and so learns what the call depends on: the arguments, the captured
values (as inputs of the graph, so that they get their gradients) and the functions that lead to them. The
rest is one opaque node, which the tracing below Dynamo follows into the `autograd.Function` of the rule. Were
Dynamo to trace that itself, a compiled `torch.func.grad` or `jvp` would give zeros.

Functions marked as constant are run for real, while Dynamo traces.
"""

from __future__ import annotations

import ast
import dataclasses
import types
from typing import Any

import numpy as np
import torch
from torch._guards import TracingContext
from torch.utils import _pytree

from fwddiff import _tree
from fwddiff._buffers import KEY, Buffers
from fwddiff._errors import HostError

_operations: dict[str, Any] = {}
_opaque: Any = None
_OWN = "fwddiff: own "
_NOTHING = "fwddiff: None"  # graphs hold numbers and text as constants, but not `None`


class _Named:
    """A NamedTuple on its way out of the opaque node: Dynamo cannot build what PyTorch makes of it."""

    def __init__(self, value: Any):
        self.value = value


_pytree.register_pytree_node(
    _Named,
    lambda named: ([_hidden(child) for child in named.value], type(named.value)),
    lambda children, named_tuple: named_tuple(*children),
)


def is_traced() -> bool:
    """Whether Dynamo is at work."""
    return TracingContext.try_get() is not None


def traced(operation: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The call, for Dynamo. `operation` has a `key`, `readers` of captured values and the plan's `checks`."""
    if not torch.compiler.is_dynamo_compiling():  # functions run for real while Dynamo is at work elsewhere
        return operation.run(args, kwargs)
    names = tuple([name for name in kwargs if name != "signature" or operation.kind == "whole"])
    operation.prepare_traced(len(args), names)
    for read, expected in operation.checks:
        if read() is not expected:
            raise HostError("What a function refers to changed while torch.compile traced it.")
    options = {name: kwargs[name] for name in kwargs if name not in names}
    complete = _complete(operation, args, kwargs, getattr(operation, _place(len(args), names)))
    everything = complete, [read() for read in operation.readers]
    _register(everything)
    inputs, captured = _pytree.tree_map(_for_graph, everything)
    if operation.kind == "whole" and not any(
        isinstance(leaf, torch.Tensor) for leaf in _pytree.tree_leaves((inputs, captured))
    ):
        return operation.wrapped.target.original(*args, **kwargs)
    if torch.compiler.is_exporting():
        return _export(operation.key, inputs, options, captured)
    return _opaque(operation.key, inputs, options, captured)


def _place(count: int, names: tuple[str, ...]) -> str:
    """Attribute of an operation that says where the arguments of such a call come from."""
    return f"sources {count} {' '.join(names)}"


def _complete(operation: Any, args: tuple, kwargs: dict[str, Any], sources: tuple) -> tuple:
    """All that the function takes. Arguments, and presets and defaults that hold tensors, are inputs of the
    graph; the others stay where they are."""
    target = operation.wrapped.target
    complete: list[Any] = []
    for kind, key in sources:
        if kind == "argument":
            complete.append(args[key])
        elif kind == "keyword":
            complete.append(kwargs[key])
        elif kind == "default":
            complete.append(target.defaults[key])
        elif kind == "preset":
            complete.append(target.preset_args[key] if isinstance(key, int) else target.preset_kwargs[key])
        else:
            complete.append(key)
    return tuple(complete)


def _export(key: str, args: tuple, options: dict[str, Any], captured: list) -> Any:
    """Strict `torch.export` cannot keep the structure of arguments, which `nonstrict_trace` needs."""
    if options or not all(isinstance(leaf, torch.Tensor | float | int | str) for leaf in (*args, *captured)):
        raise HostError(
            "torch.export(strict=True) takes tensors and numbers alone through fwddiff's functions; "
            "use strict=False for structs and keywords."
        )
    return _call_flat(key, len(args), *args, *captured)


def prepare(operation: Any, count: int, names: tuple[str, ...]) -> None:
    """Before Dynamo goes on: the operation can be found by its key, it is known where arguments come from,
    and the opaque function exists."""
    global _opaque
    _operations[operation.key] = operation
    target = operation.wrapped.target
    sources = tuple([_seen(target, *source) for source in target.sources(count, names)])
    vars(operation)[_place(count, names)] = sources
    for node in operation.wrapped.caller.live_plan().nodes():
        for value in _mentioned(node.function):
            if isinstance(value, type) and dataclasses.is_dataclass(value):
                _register_class(value)
    if _opaque is None:
        if not hasattr(torch._dynamo, "nonstrict_trace"):
            raise HostError(
                "This PyTorch cannot compile fwddiff's functions; use PyTorch 2.7 or newer, or call them "
                "outside of torch.compile."
            )
        _opaque = torch._dynamo.nonstrict_trace(_call)
        torch.compiler.allow_in_graph(_call_flat)


def _seen(target: Any, kind: str, key: Any) -> tuple[str, Any]:
    """A source as Dynamo is to read it: presets and defaults without tensors are named, not read."""
    if kind in ("argument", "keyword"):
        return kind, key
    leaves = _tree.flatten(target.own(kind, key))[0]
    if any(isinstance(leaf, torch.Tensor) for leaf in leaves):
        return kind, key
    return "named", f"{_OWN}{kind} {key!r}"


def _mentioned(function: types.FunctionType) -> list[Any]:
    """What the globals and closure variables of a function hold: it may return structs of these classes."""
    names = function.__globals__
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return cells + [names[name] for name in function.__code__.co_names if name in names]


def _call(key: str, args: tuple, options: dict[str, Any], captured: list) -> Any:
    result = _run(key, args, options, captured)
    _register(result)
    return _hidden(result)


def _call_flat(key: str, n_args: int, *leaves: Any) -> Any:
    return _run(key, leaves[:n_args], {}, list(leaves[n_args:]))


def _run(key: str, args: tuple, options: dict[str, Any], captured: list) -> Any:
    operation = _operations[key]
    args, captured = _pytree.tree_map(_from_graph, (args, captured))
    complete = tuple([_own(operation.wrapped.target, arg) for arg in args])
    return operation.run(complete, dict(options), captured)


def _own(target: Any, argument: Any) -> Any:
    """The preset or default that an argument names, or the argument itself."""
    if not (isinstance(argument, str) and argument.startswith(_OWN)):
        return argument
    kind, _, key = argument.removeprefix(_OWN).partition(" ")
    return target.own(kind, ast.literal_eval(key))


def _for_graph(leaf: Any) -> Any:
    if leaf is None:
        return _NOTHING
    if isinstance(leaf, Buffers):
        return leaf.key
    return torch.from_numpy(np.array(leaf)) if isinstance(leaf, np.ndarray) else leaf


def _from_graph(leaf: Any) -> Any:
    if not isinstance(leaf, str):
        return leaf
    return None if leaf == _NOTHING else Buffers.alive[leaf] if leaf.startswith(KEY) else leaf


def _hidden(tree: Any) -> Any:
    """The same with every NamedTuple as a `_Named`."""
    named = _pytree.is_namedtuple_instance
    return _pytree.tree_map(lambda leaf: _Named(leaf) if named(leaf) else leaf, tree, is_leaf=named)


def _register(tree: Any) -> None:
    """Make the dataclasses in a tree known to PyTorch's pytrees, which the opaque function takes apart."""
    if isinstance(tree, torch.Tensor | np.ndarray | float | int):
        return
    if dataclasses.is_dataclass(tree):
        _register_class(type(tree))
        for field in dataclasses.fields(tree):
            _register(getattr(tree, field.name))
    elif isinstance(tree, tuple | list):
        for child in tree:
            _register(child)
    elif isinstance(tree, dict):
        for child in tree.values():
            _register(child)


def _register_class(cls: type) -> None:
    if cls not in _pytree.SUPPORTED_NODES:
        _pytree.register_dataclass(cls)


_register_class._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]

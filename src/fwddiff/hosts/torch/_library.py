"""Library operators, one per number of inputs and outputs, for tensors that have no memory of their own.

Fake and functional tensors (`torch.compile`, `torch.export`), meta tensors and the batched tensors of
`is_grads_batched` dispatch on operators of the library only. The rule travels as text. The operators hold no
derivative: a library operator with `register_autograd` drops forward tangents without a word. Their Autograd
kernel is the `autograd.Function` of the rule, so calling one directly (as exported programs do) is right.

PyTorch loops over legacy batches by itself, but only for a fixed number of tensors: hence one per arity.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch

from fwddiff._errors import HostError
from fwddiff._rule import Rule, Shape
from fwddiff.hosts.torch._dtypes import TORCH_DTYPES

_NAMESPACE = "fwddiff"
_library = torch.library.Library(_NAMESPACE, "FRAGMENT")
_operators: dict[tuple[int, int], Callable[..., Any]] = {}
_rules: dict[str, Rule] = {}
_lock = threading.Lock()
_numbers = itertools.count()
_functorch_is_active = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)


class _Upper:
    """What the operators' kernels do is defined in the files above this one, which put it here."""

    run_on_memory: Callable[..., tuple[torch.Tensor, ...]]
    record: Callable[..., Callable[..., tuple[torch.Tensor, ...]]]


upper = _Upper()


def call(rule: Rule, batch_ndim: int, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Evaluate the rule through its library operator, below autograd."""
    with torch._C._AutoDispatchBelowAutograd():
        return call_recorded(rule, batch_ndim, tensors)


def call_recorded(rule: Rule, batch_ndim: int, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Evaluate the rule through its library operator; legacy batches are taken apart first, then recorded."""
    results = operator(len(rule.inputs), len(rule.outputs))(*tensors, key(rule), batch_ndim)
    return (results,) if isinstance(results, torch.Tensor) else tuple(results)


def key(rule: Rule) -> str:
    """Text that stands for the rule in graphs of this process."""
    with _lock:
        if "_torch_key" not in vars(rule):
            name = f"{rule.name}#{next(_numbers)}"
            _rules[name] = rule
            vars(rule)["_torch_key"] = name
        return vars(rule)["_torch_key"]


def rule_of(name: str) -> Rule:
    """The rule of a `key`. Raises `HostError` where the graph comes from another process."""
    if name not in _rules:
        raise HostError(
            f"The function {name} is not known in this process. Graphs with fwddiff functions run "
            "where they were made: trace or export again here."
        )
    return _rules[name]


def operator(inputs: int, outputs: int) -> Callable[..., Any]:
    """The operator of so many input and output tensors."""
    with _lock:
        if (inputs, outputs) not in _operators:
            _operators[inputs, outputs] = _define(inputs, outputs)
        return _operators[inputs, outputs]


def _define(inputs: int, outputs: int) -> Callable[..., Any]:
    name = f"apply_{inputs}_{outputs}"
    arguments = ", ".join(f"Tensor x{i}" for i in range(inputs))
    results = ", ".join(["Tensor"] * outputs)
    _library.define(
        f"{name}({arguments}, str rule, int batch_ndim) -> ({results})", tags=(torch.Tag.pt2_compliant_tag,)
    )
    _library.impl(name, _run, "CPU")
    _library.impl(name, _record, "Autograd")
    torch.library.register_fake(f"{_NAMESPACE}::{name}", _fake, lib=_library)
    return getattr(getattr(torch.ops, _NAMESPACE), name).default


def _run(*arguments: Any) -> Any:
    *tensors, name, batch_ndim = arguments
    return _unwrapped(upper.run_on_memory(rule_of(name), batch_ndim, tensors))


def _record(*arguments: Any) -> Any:
    if _functorch_is_active():
        raise HostError(
            "torch.func cannot differentiate an exported graph that calls fwddiff; transform the function "
            "first, then export, or use torch.autograd."
        )
    *tensors, name, batch_ndim = arguments
    return _unwrapped(upper.record(rule_of(name), batch_ndim)(*tensors))


def _fake(*arguments: Any) -> Any:
    *tensors, name, batch_ndim = arguments
    rule = rule_of(name)
    shapes = output_shapes(rule, [tuple(tensor.shape) for tensor in tensors], batch_ndim)
    return _unwrapped(
        tuple(
            tensors[0].new_empty(shape, dtype=TORCH_DTYPES[slot.dtype])
            for shape, slot in zip(shapes, rule.outputs, strict=True)
        )
    )


def _unwrapped(results: tuple[torch.Tensor, ...]) -> Any:
    return results[0] if len(results) == 1 else results


def output_shapes(rule: Rule, shapes: Sequence[Shape], batch_ndim: int) -> tuple[Shape, ...]:
    """`Rule.output_shapes` for shapes that may hold symbolic sizes, which NumPy cannot broadcast."""
    if all(type(size) is int for shape in shapes for size in shape):
        return rule.output_shapes(shapes, batch_ndim)
    loop = tuple(torch.broadcast_shapes(*rule.aligned_loops(shapes, batch_ndim)))
    cores = rule.core_shapes(
        [s[len(s) - slot.core_ndim :] for slot, s in zip(rule.inputs, shapes, strict=True)]
    )
    return tuple(
        rule.reduced_loop(slot, loop, shapes, batch_ndim) + tuple(core)
        for slot, core in zip(rule.outputs, cores, strict=True)
    )

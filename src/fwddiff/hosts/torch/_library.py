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
_DERIVED = " / "
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
    """Text that stands for the rule in graphs: a hash of the function's content, the same in every process.

    Engines without such a hash, and different rules of equal content, get a number of this process instead.
    """
    with _lock:
        known = vars(rule).get("_torch_key")
        if known is None:
            content = getattr(rule, "key", None)
            name = f"{rule.name}#{next(_numbers)}" if content is None else f"{rule.name}#{content[:32]}"
            found = _rules.setdefault(name, rule)
            if found is not rule and getattr(found, "function", found) is not getattr(rule, "function", None):
                name = f"{name}-{next(_numbers)}"
                _rules[name] = rule
            known = vars(rule)["_torch_key"] = name
        return known


def rule_of(name: str) -> Rule:
    """The rule of a `key`. Raises `HostError` where no call in this process has made it."""
    base, *derivations = name.split(_DERIVED)
    rule = _rules.get(name) or _rules.get(base)
    if rule is None:
        raise HostError(
            f"A graph calls the function {base.partition('#')[0]}, which this process has not met. Import "
            "the module that defines it and call it once, with arguments of the same structure and dtypes "
            "as when the graph was made; if its code has changed since then, export again."
        )
    if name not in _rules:
        for kind, active in (derivation.split(",", 1) for derivation in derivations):
            rule = getattr(rule, kind)(tuple(map(int, active.split(","))))
    return rule


def derived(rule: Rule, kind: str, active: tuple[int, ...]) -> Rule:
    """The "pullback" or "pushforward" of a rule, with a key that says how to derive it again."""
    known = vars(rule).setdefault("_torch_derived", {})
    found = known.get((kind, active))
    if found is None:
        found = getattr(rule, kind)(active)
        name = f"{key(rule)}{_DERIVED}{kind},{','.join(map(str, active))}"
        with _lock:
            _rules[name] = found
            vars(found).setdefault("_torch_key", name)
        known[kind, active] = found
    return found


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

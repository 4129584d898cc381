"""Rules that map numbers to numbers: a scalar op, which PyTensor's `Elemwise` broadcasts, fuses and
differentiates."""

# PyTensor is an extra, which type checkers do not find.
# pyright: reportMissingImports=false

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pytensor.compile.mode import get_default_mode
from pytensor.link.numba.linker import NumbaLinker
from pytensor.scalar.basic import ScalarOp, cast, constant, get_scalar_type
from pytensor.tensor.elemwise import Elemwise

from fwddiff._rule import Rule
from fwddiff.hosts.pytensor._derivation import Derivation, OfThisProcess, disconnected, is_missing

_numbers = itertools.count()
_whole_arrays: dict[str, Callable] = {}


def __getattr__(name: str) -> Callable:
    """What PyTensor finds by the name in `nfunc_spec`: a rule as a function of whole arrays."""
    try:
        return _whole_arrays[name]
    except KeyError:
        raise AttributeError(f"module {__name__} has no attribute {name}") from None


class ScalarRule(ScalarOp, OfThisProcess):
    """One element of an elementwise rule. Equal to others of the same rule, so that PyTensor merges them."""

    def __init__(self, derivation: Derivation):
        rule = derivation.rule
        self.derivation = derivation
        self.nin, self.nout = len(rule.inputs), len(rule.outputs)
        kinds = [get_scalar_type(slot.dtype.name) for slot in rule.outputs]
        super().__init__(lambda *types: kinds, name=f"fwddiff({rule.name})")
        self.nfunc_spec = (f"{__name__}.{_function_name(rule)}", self.nin, self.nout)

    def impl(self, *numbers: Any) -> Any:
        return _single(on_arrays(self.derivation.rule, numbers))

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        return self.derivation.connection_pattern()

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Cotangents of one element; `Elemwise` sums them over the axes along which an input is broadcast."""
        rule = self.derivation.rule
        results = [disconnected() for _ in inputs]
        active = [i for i, slot in enumerate(rule.inputs) if slot.differentiable]
        if not active or all(map(is_missing, cotangents)):
            return results
        given = [
            constant(np.zeros((), slot.dtype)) if is_missing(cotangent) else _cast(cotangent, slot.dtype)
            for slot, cotangent in zip(rule.outputs, cotangents, strict=True)
            if slot.differentiable
        ]
        stored = self.derivation.base is None and rule.mode != "recompute"
        for group in rule.pullback_passes(tuple(active)):
            take = _from_partials if stored else _from_pullback
            for a, cotangent in zip(group, take(self.derivation, group, inputs, given), strict=True):
                results[a] = cotangent
        return results

    L_op = pullback

    def supports_c_code(self, inputs: Any, outputs: Any) -> bool:
        """PyTensor asks this before it fuses loops, whatever the linker; only Numba's can."""
        return isinstance(get_default_mode().linker, NumbaLinker)

    def c_code(self, *arguments: Any) -> str:
        raise NotImplementedError(f"{self.derivation.rule.name} is machine code, not C.")

    def c_code_cache_version(self) -> tuple:
        return ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScalarRule) and self.derivation.rule is other.derivation.rule

    def __hash__(self) -> int:
        return hash((ScalarRule, id(self.derivation.rule)))


def elementwise(derivation: Derivation, inputs: Sequence[Any]) -> list[Any]:
    return Elemwise(ScalarRule(derivation))(*inputs, return_list=True)


def _from_pullback(derivation: Derivation, group: Sequence[int], inputs: Any, cotangents: Any) -> list[Any]:
    return ScalarRule(derivation.derived("pullback", group))(*inputs, *cotangents, return_list=True)


def _from_partials(derivation: Derivation, group: Sequence[int], inputs: Any, cotangents: Any) -> list[Any]:
    """The sum over outputs j of ct[j] * P[j][a]. The op of the partials takes the place of the value's
    (`_rewrites`), and products with a constant cotangent vanish."""
    results = ScalarRule(derivation.derived("partials", group))(*inputs, return_list=True)
    partials = results[len(derivation.rule.outputs) :]
    found = []
    for k in range(len(group)):
        terms = [ct * p for ct, p in zip(cotangents, partials[k :: len(group)], strict=True)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        found.append(_cast(total, derivation.rule.inputs[group[k]].dtype))
    return found


def _cast(number: Any, dtype: np.dtype) -> Any:
    return number if number.type.dtype == dtype.name else cast(number, dtype.name)


def _function_name(rule: Rule) -> str:
    name = vars(rule).get("_pytensor_name")
    if name is None:
        name = vars(rule).setdefault("_pytensor_name", f"rule_{next(_numbers)}")
        _whole_arrays[name] = lambda *arrays, **options: _single(on_arrays(rule, arrays))
    return name


def on_arrays(rule: Rule, values: Sequence[Any]) -> tuple[np.ndarray, ...]:
    """Outputs of the shape of the loop: what a rule sums, `Elemwise` sums itself."""
    arrays = [np.asarray(value, slot.dtype) for value, slot in zip(values, rule.inputs, strict=True)]
    if any(slot.reduce is not None for slot in rule.outputs):
        arrays = np.broadcast_arrays(*arrays)
    return rule(arrays)


def _single(results: Sequence[Any]) -> Any:
    return results[0] if len(results) == 1 else tuple(results)

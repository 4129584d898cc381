"""Does the primitive compute in a JAX that nobody has tried? A small rule through JAX's transformations."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from fwddiff._rule import Mode, Rule, Shape, Slot, derived_slots
from fwddiff.hosts.jax.operation import Operation
from fwddiff.hosts.jax.primitive import call

Term = tuple[float, tuple[int, ...]]  # coefficient, and the exponent of each input


class Polynomial(Rule):
    """Each output is a sum of terms. Its derivatives are polynomials too. All inputs have one shape."""

    def __init__(
        self, inputs: Sequence[Slot], outputs: Sequence[Slot], terms: Sequence[Sequence[Term]]
    ) -> None:
        self.name, self.inputs, self._outputs = "polynomial", tuple(inputs), tuple(outputs)
        self.terms = [list(own) for own in terms]

    @property
    def outputs(self) -> tuple[Slot, ...]:
        return self._outputs

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        return ((),) * len(self._outputs)

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        loop = self.loop_shape([x.shape for x in arrays], batch_ndim)
        broadcast = np.broadcast_arrays(*arrays)
        results = []
        for own, slot in zip(self.terms, self._outputs, strict=True):
            total = np.zeros(loop, slot.dtype)
            for factor, exponents in own:
                total += factor * np.prod([x**k for x, k in zip(broadcast, exponents, strict=True)], 0)
            results.append(total)
        return tuple(results)

    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        inputs, outputs = derived_slots(kind, self.inputs, self._outputs, active)
        count, results = len(self.inputs), range(len(self._outputs))
        slopes = {(j, a): _slope(self.terms[j], a, len(inputs)) for j in results for a in active}
        if kind == "pushforward":
            terms = [
                [t for k, a in enumerate(active) for t in _times(slopes[j, a], count + k)] for j in results
            ]
        elif kind == "pullback":
            terms = [[t for j in results for t in _times(slopes[j, a], count + j)] for a in active]
        else:
            terms = [*self.terms, *(slopes[j, a] for j in results for a in active)]
        return Polynomial(inputs, outputs, terms)


def _slope(terms: Sequence[Term], position: int, count: int) -> list[Term]:
    """Derivative with respect to the input at this position, as terms of so many inputs."""
    slope = [(factor * e[position], _raised(e, position, -1)) for factor, e in terms if e[position]]
    return [(factor, e + (0,) * (count - len(e))) for factor, e in slope]


def _times(terms: Sequence[Term], position: int) -> list[Term]:
    return [(factor, _raised(e, position, 1)) for factor, e in terms]


def _raised(exponents: tuple[int, ...], position: int, by: int) -> tuple[int, ...]:
    return (*exponents[:position], exponents[position] + by, *exponents[position + 1 :])


def failure() -> str:
    """Why the primitive is of no use in this JAX; empty if it computes what it should.

    In a thread of its own: transformations around the first call belong to the user's thread.
    """
    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(_rehearse).result()
        except Exception as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def _rehearse() -> str:
    x, y = np.array([1.5, -2.0], np.float32), np.array([0.5, 3.0], np.float32)
    for mode in ("recompute", "store"):
        for name, found, expected in _calls(mode, x, y):
            if not np.allclose(found, expected, rtol=1e-5):
                return f"the {name} of a polynomial is wrong"
    return ""


def _calls(mode: Mode, x: np.ndarray, y: np.ndarray) -> list[tuple[str, Any, np.ndarray]]:
    """Of x² y."""
    number = Slot(np.dtype(np.float32))
    rule = Polynomial([number, number], [number], [[(1.0, (2, 1))]])
    rule.mode = mode

    def f(x: Any, y: Any) -> Any:
        return call(Operation(rule), [x, y])[0]

    def total(x: Any, y: Any) -> Any:
        return f(x, y).sum()

    slope = jax.grad(f)
    return [
        ("value", f(jax.numpy.asarray(x), jax.numpy.asarray(y)), x * x * y),
        ("jitted gradient", jax.jit(jax.grad(total))(x, y), 2 * x * y),
        ("gradient", jax.grad(total, 1)(x, y), x * x),
        ("batch of gradients", jax.vmap(slope, (0, None))(x, y[0]), 2 * x * y[0]),
        ("tangent", jax.jit(lambda x: jax.jvp(f, (x, y), (x, y))[1])(x), 3 * x * x * y),
        ("hessian", jax.jit(jax.hessian(total, (0, 1)))(x, y)[0][1], np.diag(2 * x)),
    ]

"""What each operator computes: one rule, evaluated once, and what becomes of its outputs.

First derivatives are a pushforward, pullback or Jacobian of the function's rule, second ones of its pullback;
`value_and_…` asks for the same derived rule with the outputs of its base ahead, so that nothing is evaluated
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fwddiff._errors import ArgumentError
from fwddiff._operators._point import Assemble, Point, evaluated
from fwddiff._rule import Rule

Leaves = Sequence[Any]
LATER: Any = type("_Later", (), {"__repr__": lambda self: "<given later>"})()


@dataclass(frozen=True)
class Plan:
    """How an operator is evaluated at a point.

    `rule` takes the function's inputs, then `ones` times 1.0, then the leaves that `given` makes of the
    tangent or cotangent. `assemble` makes the result of the outputs. `arrays` are the outputs that are
    parts of the result as they are, and so may be the caller's own arrays. `by_hand` evaluates instead where
    no engine seeds.
    """

    rule: Rule
    assemble: Assemble
    ones: int = 0
    given: Callable[[Any], list[Any]] | None = None
    arrays: tuple[int, ...] = ()
    by_hand: Callable[[Leaves], list[Any]] | None = None

    def evaluate(self, leaves: Leaves, given: Leaves) -> list[Any]:
        if self.by_hand is not None:
            return self.by_hand(leaves)
        return evaluated(self.rule, [*leaves, *[1.0] * self.ones, *given])


@dataclass(frozen=True)
class Form:
    """An operator. `parts` counts the derivatives in its result, after the value if there is one; `takes`
    says what comes after x."""

    name: str
    plan: Callable[[Point], Plan]
    has_value: bool = False
    takes: Literal["", "tangent", "cotangent"] = ""
    parts: int = 1

    def positional(self, args: tuple, named: dict[str, Any]) -> tuple:
        """The arguments in the operator's order; x and the (co)tangent may be given by name, and go from
        `named`."""
        names = ("x", self.takes) if self.takes else ("x",)
        return (*args, *(named.pop(name) for name in names[len(args) :] if name in named))

    def split(self, args: tuple) -> tuple[tuple, Any]:
        """The function's arguments, and the (co)tangent."""
        if not self.takes:
            return args, None
        if len(args) < 2 or args[1] is LATER:
            raise ArgumentError(f"{self.name} needs a {self.takes} after the point: (f, x, {self.takes}).")
        return (args[0], *args[2:]), args[1]


def _first(p: Point, kind: str, has_value: bool, rest: Assemble, is_array: bool, **options: Any) -> Plan:
    """A first derivative: `rest` makes it of the outputs that belong to it."""
    count = len(p.rule.outputs) if has_value else 0
    arrays = (count,) if is_array else ()
    assemble = _after_value(p, rest) if has_value else rest
    return Plan(p.derived(kind, has_value), assemble, arrays=arrays, **options)


def _after_value(p: Point, rest: Assemble) -> Assemble:
    count = len(p.rule.outputs)
    if p.tree().is_leaf():
        return lambda outputs: (outputs[0], rest(outputs[count:]))
    return lambda outputs: (p.value(outputs[:count]), rest(outputs[count:]))


def _constant(p: Point, has_value: bool, zeros: Assemble) -> Plan:
    """The derivative of integers: the function itself tells shapes, and values."""
    assemble = zeros
    if has_value:
        assemble = lambda outputs: (p.value(outputs), zeros(outputs))  # noqa: E731
    return Plan(p.rule, assemble)


# --- first derivatives --------------------------------------------------------------------------------------


def derivative(has_value: bool) -> Callable[[Point], Plan]:
    def plan(p: Point) -> Plan:
        p.expect_number()
        return _pushed(p, has_value, ones=1)

    return plan


def pushforward(has_value: bool) -> Callable[[Point], Plan]:
    return lambda p: _pushed(p, has_value, given=p.tangents)


def _pushed(p: Point, has_value: bool, **options: Any) -> Plan:
    if p.is_constant():
        return _constant(p, has_value, lambda outputs: _zero_result(p, outputs))
    rest = _only if p.tree().is_leaf() else p.like_result
    return _first(p, "pushforward", has_value, rest, p.result_is_array(), **options)


def pullback(has_value: bool) -> Callable[[Point], Plan]:
    return lambda p: _pulled(p, has_value, given=p.cotangents)


def gradient(has_value: bool) -> Callable[[Point], Plan]:
    def plan(p: Point) -> Plan:
        p.expect_one_number("gradient", "jacobian")
        return _pulled(p, has_value, ones=1)

    return plan


def _pulled(p: Point, has_value: bool, **options: Any) -> Plan:
    if p.is_constant():
        return _constant(p, has_value, lambda outputs: _zeros_like_x(p))
    return _first(p, "pullback", has_value, p.like_x, p.is_array(), **options)


def jacobian(has_value: bool) -> Callable[[Point], Plan]:
    def plan(p: Point) -> Plan:
        p.expect_arrays("jacobian")
        p.expect_one_array()
        if p.is_constant():
            shapes = [p.shapes[i] for i in p.inputs]
            return _constant(
                p, has_value, lambda y: p.by_argument([np.zeros(np.shape(y[0]) + s) for s in shapes])
            )
        if not p.rule.has_jacobian or p.has_loop_axes():
            return _along_basis(p, has_value)
        rest = lambda blocks: p.by_argument(list(map(_as_array, blocks)))  # noqa: E731
        kind, ones = ("pushforward", 1) if p.only_number() else ("jacobian", 0)
        is_array = p.is_single and (p.result_is_array() or bool(p.shapes[p.inputs[0]]))
        return _first(p, kind, has_value, rest, is_array, ones=ones)

    return plan


def _along_basis(p: Point, has_value: bool) -> Plan:
    rest = lambda blocks: p.by_argument(list(map(_as_array, blocks)))  # noqa: E731

    def by_hand(leaves: Leaves) -> list[Any]:
        values = evaluated(p.rule, leaves) if has_value else []
        return [*values, *p.by_basis(p.rule, leaves)]

    return Plan(p.rule, _after_value(p, rest) if has_value else rest, by_hand=by_hand)


# --- second derivatives -------------------------------------------------------------------------------------


def hvp(has_value: bool) -> Callable[[Point], Plan]:
    def plan(p: Point) -> Plan:
        p.expect_one_number("hvp", "pullback")
        if p.is_constant():
            return _constant(p, has_value, lambda outputs: _zeros_like_x(p))
        rest = p.like_x
        pulled = p.derived("pullback", has_value)
        if not has_value:
            arrays = (0,) if p.is_array() else ()
            return Plan(pulled.pushforward(p.inputs), rest, 1, p.tangents, arrays)
        values, count = len(p.rule.outputs), len(p.inputs)
        first = values + count + 1  # y, gradient, pushforward of y, then the product
        assemble = lambda o: (p.value(o[:values]), rest(o[first:]))  # noqa: E731
        arrays = (first,) if p.is_array() else ()
        return Plan(pulled.with_values("pushforward", p.inputs), assemble, 1, p.tangents, arrays)

    return plan


def hessian(has_value: bool, has_gradient: bool = False) -> Callable[[Point], Plan]:
    def plan(p: Point) -> Plan:
        p.expect_arrays("hessian")
        p.expect_one_number("hessian", "jacobian")
        if p.is_constant():
            return _constant_hessian(p, has_value, has_gradient)
        if not p.rule.has_jacobian or p.has_loop_axes():
            return _hessian_along_basis(p, has_value, has_gradient)
        if not has_value:
            rule, ones = _differentiated(p, p.derived("pullback", False), False)
            return Plan(rule, lambda o: _square(p, o), ones, arrays=(0,) if p.is_array() else ())
        rule, ones = _differentiated(p, p.derived("pullback", True), True)
        return Plan(rule, _parts(p, has_gradient), ones, arrays=_arrays_of_parts(p, has_gradient))

    return plan


def _differentiated(p: Point, pulled: Rule, has_value: bool) -> tuple[Rule, int]:
    """Derivatives of a pullback by all inputs that move, and how many ones the rule takes."""
    kind, ones = ("pushforward", 2) if p.only_number() else ("jacobian", 1)
    return (pulled.with_values(kind, p.inputs) if has_value else getattr(pulled, kind)(p.inputs)), ones


def _parts(p: Point, has_gradient: bool) -> Assemble:
    """Outputs are y, the gradient, the derivatives of y once more, and the Hessian."""
    values, count = len(p.rule.outputs), len(p.inputs)

    def assemble(o: Leaves) -> tuple:
        hessian = _square(p, o[values + 2 * count :])
        gradient = (p.like_x(o[values : values + count]),) if has_gradient else ()
        return (p.value(o[:values]), *gradient, hessian)

    return assemble


def _arrays_of_parts(p: Point, has_gradient: bool) -> tuple[int, ...]:
    values = len(p.rule.outputs)
    if not p.is_array():
        return ()
    return (values, values + 2) if has_gradient else (values + 2,)


def _square(p: Point, blocks: Leaves) -> Any:
    """Blocks by pairs of arguments, row by row."""
    count = len(p.inputs)
    rows = [list(map(_as_array, blocks[k * count : (k + 1) * count])) for k in range(count)]
    return p.by_argument([p.by_argument(row) for row in rows])


def _constant_hessian(p: Point, has_value: bool, has_gradient: bool) -> Plan:
    shapes = [p.shapes[i] for i in p.inputs]

    def zeros(outputs: Leaves) -> Any:
        return _square(p, [np.zeros(a + b) for a in shapes for b in shapes])

    if not has_gradient:
        return _constant(p, has_value, zeros)
    return Plan(p.rule, lambda outputs: (p.value(outputs), _zeros_like_x(p), zeros(outputs)))


def _hessian_along_basis(p: Point, has_value: bool, has_gradient: bool) -> Plan:
    values, count = len(p.rule.outputs), len(p.inputs)

    def by_hand(leaves: Leaves) -> list[Any]:
        first = evaluated(p.derived("pullback", True), [*leaves, 1.0]) if has_value else []
        rows = [p.by_basis(p.rule.pullback((i,)), [*leaves, 1.0]) for i in p.inputs]
        return [*first, *(block for row in rows for block in row)]

    def assemble(o: Leaves) -> Any:
        if not has_value:
            return _square(p, o)
        gradient = (p.like_x(o[values : values + count]),) if has_gradient else ()
        return (p.value(o[:values]), *gradient, _square(p, o[values + count :]))

    return Plan(p.rule, assemble, by_hand=by_hand)


# --- leaves -------------------------------------------------------------------------------------------------


def _only(outputs: Leaves) -> Any:
    return outputs[0]


def _as_array(block: Any) -> Any:
    return np.asarray(block) if isinstance(block, float | int | np.generic) else block


def _zero_result(p: Point, outputs: Leaves) -> Any:
    pairs = zip(p.rule.outputs, outputs, strict=True)
    return p.value([None if slot.dtype.kind == "b" else _zeros(np.shape(y)) for slot, y in pairs])


def _zeros_like_x(p: Point) -> Any:
    return p.like_x([_zeros(p.shapes[i]) for i in p.inputs])


def _zeros(shape: tuple[int, ...]) -> Any:
    return np.zeros(shape) if shape else 0.0


FORMS = {
    form.name: form
    for form in (
        Form("derivative", derivative(False)),
        Form("gradient", gradient(False)),
        Form("jacobian", jacobian(False)),
        Form("hessian", hessian(False)),
        Form("hvp", hvp(False), takes="tangent"),
        Form("pushforward", pushforward(False), takes="tangent"),
        Form("pullback", pullback(False), takes="cotangent"),
        Form("value_and_derivative", derivative(True), True),
        Form("value_and_gradient", gradient(True), True),
        Form("value_and_jacobian", jacobian(True), True),
        Form("value_and_hessian", hessian(True), True),
        Form("value_and_hvp", hvp(True), True, "tangent"),
        Form("value_and_pushforward", pushforward(True), True, "tangent"),
        Form("value_and_pullback", pullback(True), True, "cotangent"),
        Form("value_gradient_and_hessian", hessian(True, True), True, parts=2),
    )
}

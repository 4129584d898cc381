"""The user's function as a function of leaves, run by Python: rebuilt for duals, or for an outline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from fwddiff import _tree, dual
from fwddiff._capture import Function, has_code, has_handler, held_rule, holds_host_array, plan
from fwddiff._errors import CaptureError
from fwddiff._problem import Problem
from fwddiff.engines.numpy.rebuild import Rebuilt
from fwddiff.engines.numpy.standins import StandIns
from fwddiff.engines.numpy.structs import Structs, losing_classes, method_plans, struct_classes

MethodPlans = dict[type, dict[str, Function]]


class UserFunction:
    """The function of a problem for one evaluation in one thread: `self(*leaves)` is its nested result.

    `arguments` are those of the last call.
    """

    def __init__(self, problem: Problem, plans: MethodPlans, standins: StandIns):
        owned = problem.plan.owned
        self.structs = Structs(owned, plans, standins)
        self.structs.losing |= {cls for spec in specs(problem) for cls in losing_classes(spec)}
        self.rebuilt = Rebuilt(problem.plan, self.structs)
        statics = {k: _rebuilt_static(s, self.structs) for k, s in problem.statics.items()}
        self.problem = replace(problem, statics=statics)
        self.adopts = any(self.structs(cls) for spec in specs(problem) for cls in struct_classes(spec))
        self.arguments: Sequence[Any] = ()
        # Who catches exceptions has numbers of Python's own, whose division by zero is one.
        self.catches = any(map(has_handler, problem.plan.reached()))

    def __call__(self, *leaves: Any) -> Any:
        if self.catches:
            leaves = tuple(leaf.item() if type(leaf) is np.float64 else leaf for leaf in leaves)
        arguments, captured = self.problem.bind(leaves)
        if self.adopts:
            arguments, captured = self.structs.adopted(arguments), self.structs.adopted(captured)
        self.arguments = arguments
        self.rebuilt.set_captured(captured)
        positional, keywords = _split(self.problem.plan, arguments)
        with dual.room(leaves, self.problem.float_dtype, self.catches) as room:
            result = self.structs.restored(self.rebuilt.call(*positional, **keywords))
        return _out_of_buffers(result) if room.buffers else result


def _out_of_buffers(result: Any) -> Any:
    """Copies of what may lie in a buffer, which the next evaluation writes into."""
    leaves, tree = _tree.flatten(result)
    kinds = np.ndarray | dual.Dual
    return _tree.unflatten(tree, [leaf.copy() if isinstance(leaf, kinds) else leaf for leaf in leaves])


def specs(problem: Problem) -> Sequence[Any]:
    """Structures of the arguments and of the captured values."""
    return problem.arguments, *problem.captured


def plans_of_methods(problem: Problem) -> MethodPlans:
    """Plans of the methods of all structs among the arguments; raises where a function argument captures."""
    owned = problem.plan.owned
    for static in problem.statics.values():
        if callable(static) and has_code(static):
            _plan_of_static(static, owned)
    return {cls: method_plans(cls, owned) for spec in specs(problem) for cls in struct_classes(spec)}


def parameter_names(node: Function) -> Iterator[str]:
    """Names of the parameters, without a bound `self`."""
    code = node.function.__code__
    yield from code.co_varnames[node.bound is not None : code.co_argcount + code.co_kwonlyargcount]


def _split(node: Function, arguments: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments from the engine's order: positional, keyword-only, then `*rest`."""
    code = node.function.__code__
    count = code.co_argcount - (node.bound is not None)
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    rest = arguments[count + len(names) :]
    return [*arguments[:count], *rest], dict(zip(names, arguments[count:], strict=False))


def _plan_of_static(static: Callable, owned: Callable[[Any], bool]) -> Function:
    node = plan(static, owned)
    for capture, value in zip(node.captures, node.values(), strict=True):
        if holds_host_array(value, owned):
            raise CaptureError(
                f"the function argument `{node.function.__name__}` captures `{capture.name}`. Pass that "
                "value as an argument of its own."
            )
    return node


def _nothing() -> None:
    """Whose plan stands for that of a container."""


def _rebuilt_static(static: Any, structs: Structs) -> Any:
    if held_rule(static) is not None:
        return Rebuilt(plan(_nothing, structs.owned), structs).members_rebuilt(static)
    if not callable(static) or not has_code(static):
        is_function = callable(static) and not isinstance(static, type)  # a type may be meant as a dtype
        known = structs.standins.of(static) if is_function else None
        return static if known is None else known
    node = plan(static, structs.owned)
    rebuilt = Rebuilt(node, structs)
    rebuilt.set_captured(node.values())
    return rebuilt.call

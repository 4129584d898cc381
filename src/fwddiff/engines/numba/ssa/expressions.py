"""Text of the rules table as instructions."""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable, Mapping

from fwddiff.engines.numba.ssa.code import FLOATS, Refused, Value
from fwddiff.engines.numba.ssa.functions import beside, integers_of
from fwddiff.engines.numba.ssa.writer import Writer, number

Term = Value | float | int  # numbers in the text have the type of what they meet

_LARGEST_PRODUCT = 4
_OPERATIONS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}
_ON_NUMBERS: dict[str, Callable] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
}
_PREDICATES: dict[type, tuple[str, str]] = {
    ast.Lt: ("olt", "slt"),
    ast.LtE: ("ole", "sle"),
    ast.Gt: ("ogt", "sgt"),
    ast.GtE: ("oge", "sge"),
    ast.Eq: ("oeq", "eq"),
    ast.NotEq: ("une", "ne"),
}


@functools.cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(text.strip(), mode="eval").body


def written(writer: Writer, text: str, names: Mapping[str, Value], kind: str, slope_of: str = "") -> Value:
    """The value of an expression in `names`, a float of type `kind`. It is the slope of the function
    `slope_of`, whose value stands nearby."""
    return _Expression(writer, names, kind, slope_of).value(_parsed(text))


def is_zero(text: str | None) -> bool:
    return text is not None and text.strip() == "0"


class _Expression:
    def __init__(self, writer: Writer, names: Mapping[str, Value], kind: str, slope_of: str = ""):
        self.writer, self.names, self.kind, self.slope_of = writer, names, kind, slope_of

    def value(self, node: ast.expr) -> Value:
        return self._float(self._term(node))

    def _float(self, term: Term) -> Value:
        return self.writer.convert(term, self.kind) if isinstance(term, Value) else number(self.kind, term)

    def _term(self, node: ast.expr) -> Term:
        if isinstance(node, ast.Constant):
            return node.value  # pyright: ignore[reportReturnType]
        if isinstance(node, ast.Name):
            return math.pi if node.id == "pi" else self.names[node.id]
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.IfExp):
            return self._choice(self._condition(node.test), node.body, node.orelse)
        if isinstance(node, ast.Call):
            return self._call(node)
        raise Refused(f"{ast.unparse(node)} in the rules table")

    def _unary(self, node: ast.UnaryOp) -> Term:
        term = self._term(node.operand)
        if isinstance(node.op, ast.UAdd):
            return term
        if not isinstance(node.op, ast.USub):
            raise Refused(f"{ast.unparse(node)} in the rules table")
        return self.writer.negative(self._float(term)) if isinstance(term, Value) else -term

    def _binary(self, node: ast.BinOp) -> Term:
        left = self._term(node.left)
        if isinstance(node.op, ast.Pow):
            return self._power(left, self._term(node.right))
        if type(node.op) not in _OPERATIONS:
            raise Refused(f"{ast.unparse(node)} in the rules table")
        return self._arithmetic(_OPERATIONS[type(node.op)], left, self._term(node.right))

    def _arithmetic(self, operation: str, left: Term, right: Term) -> Term:
        if not isinstance(left, Value) and not isinstance(right, Value):
            return _ON_NUMBERS[operation](left, right)
        kinds = [term.type for term in (left, right) if isinstance(term, Value)]
        whole = all(kind not in FLOATS for kind in kinds) and operation != "div"
        if whole and all(isinstance(term, Value | int) for term in (left, right)):
            terms = [term if isinstance(term, Value) else number(kinds[0], term) for term in (left, right)]
            return self.writer.binary(operation, *terms)
        return self.writer.binary(f"f{operation}", self._float(left), self._float(right))

    def _power(self, base: Term, exponent: Term) -> Term:
        """Small integer powers are products."""
        if not isinstance(exponent, Value) and exponent in range(2, _LARGEST_PRODUCT + 1):
            result = base
            for _ in range(int(exponent) - 1):
                result = self._arithmetic("mul", result, base)
            return result
        return self.writer.table("pow", [self._float(base), self._float(exponent)])

    def _call(self, node: ast.Call) -> Term:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        if name == "where":
            return self._choice(self._condition(node.args[0]), node.args[1], node.args[2])
        if name == "int":
            return self._term(node.args[0])
        terms = [self._term(argument) for argument in node.args]
        if all(not isinstance(term, Value) for term in terms) and hasattr(math, name):
            return getattr(math, name)(*terms)
        whole = integers_of(name)
        arguments = [self._argument(t, k in whole) for k, t in enumerate(terms)]
        return self.writer.table(beside(name, self.slope_of), arguments, self.kind)

    def _argument(self, term: Term, is_integer: bool) -> Value:
        if not is_integer:
            return self._float(term)
        return term if isinstance(term, Value) else number("i64", term)

    def _choice(self, condition: Value, a: ast.expr, b: ast.expr) -> Value:
        """Both are computed: a select passes on the partials of one alone."""
        return self.writer.select(condition, self.value(a), self.value(b))

    def _condition(self, node: ast.expr) -> Value:
        if isinstance(node, ast.BoolOp):
            operation = "or" if isinstance(node.op, ast.Or) else "and"
            conditions = [self._condition(value) for value in node.values]
            return functools.reduce(lambda a, b: self.writer.binary(operation, a, b), conditions)
        if not isinstance(node, ast.Compare) or len(node.ops) != 1:
            raise Refused(f"{ast.unparse(node)} in the rules table")
        left, right = self._term(node.left), self._term(node.comparators[0])
        floating, whole = _PREDICATES[type(node.ops[0])]
        given = [term for term in (left, right) if isinstance(term, Value)]
        if given and all(term.type not in FLOATS for term in given):
            terms = [t if isinstance(t, Value) else number(given[0].type, t) for t in (left, right)]
            return self.writer.assign("i1", f"icmp {whole} {terms[0]}, {terms[1].text}")
        return self.writer.compare(floating, self._float(left), self._float(right))

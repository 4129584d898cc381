"""Derivatives of LLVM's code, against the Python engine's duals and against mpmath."""

import ctypes
import itertools

import numpy as np
import pytest

from fwddiff import dual, rules
from fwddiff.engines.numba import ssa
from fwddiff.engines.numba.ssa.function import declared_return
from fwddiff.engines.numba.ssa.writer import PURE, number
from fwddiff.engines.numba.target.cpu import compile_module


def function(body: str, *kinds: str, results: tuple[str, ...] = ("double",)) -> ssa.Function:
    """A function of `%x0, %x1, …` whose body ends in a call of `fwddiff.return`."""
    listing = ", ".join(f"{kind} %x{k}" for k, kind in enumerate(kinds))
    names = {line.split('@"')[1].split('"')[0]: line for line in body.splitlines() if '@"fwddiff.' in line}
    declared = [declared_return(results)]
    for name, line in names.items():
        if name != "fwddiff.return":
            inside = line.split("(", 1)[1].rstrip(")").split(", ")
            declared.append(f'declare double @"{name}"({", ".join(a.split()[0] for a in inside)}) {PURE}')
    text = "\n".join([f"define i32 @f({listing}) {{", body, "ret i32 0", "}", *declared])
    return ssa.Function(text, "f", kinds, results)


def of_row(name: str) -> ssa.Function:
    row = rules.TABLE[name]
    whole = rules.INTEGER_ARGUMENTS.get(name, ())
    kinds = ["i64" if k in whole else "double" for k in range(len(row.arguments))]
    listing = ", ".join(f"{kind} %x{k}" for k, kind in enumerate(kinds))
    body = f'%y = call double @"fwddiff.{name}"({listing})\ncall void @"fwddiff.return"(double %y)'
    return function(body, *kinds)


def partials(base: ssa.Function, active: tuple[int, ...], exact: bool = False, chunk: int = 0) -> ssa.Function:
    results = tuple(j for j, kind in enumerate(base.outputs) if kind in ("double", "float"))
    outputs = (*base.outputs, *[base.outputs[j] for j in results for _ in active])
    return ssa.derived(base, ssa.Derivative("partials", active, results, base.inputs, outputs, exact, chunk))


_C = {"double": ctypes.c_double, "float": ctypes.c_float, "i64": ctypes.c_int64}


def run(made: ssa.Function, *arguments: float) -> list[float]:
    text = ssa.lowered(ssa.as_core(made, "core", "") + "\n".join(made.code.outside.values()))
    machine = compile_module(text, "core")
    kinds = [_C[kind] for kind in made.inputs]
    call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *kinds)(machine.address)
    layout = np.dtype([(f"f{k}", {"double": "f8", "float": "f4", "i64": "i8"}[t]) for k, t in enumerate(made.outputs)], align=True)
    out = np.zeros(1, layout)
    assert call(out.ctypes.data, None, *arguments) == 0
    return [float(v) for v in out[0]]


_POINTS = {"acosh": (1.7, 2.5), "asin": (0.3, -0.6), "acos": (0.3, -0.6), "atanh": (0.3, -0.6), "log1p": (0.4, 2.0)}
_DEFAULT = (0.7, 1.9)


def points(row: rules.Row) -> list[tuple]:
    own = _POINTS.get(row.name, _DEFAULT)
    if row.name in rules.INTEGER_ARGUMENTS:
        whole = rules.INTEGER_ARGUMENTS[row.name]
        return [tuple(2 if k in whole else x for k in range(len(row.arguments))) for x in own]
    return list(itertools.product(own, repeat=len(row.arguments)))


@pytest.mark.parametrize("name", [row.name for row in rules.built_in()])
def test_rows_to_third_order_are_those_of_python_duals(name):
    row = rules.TABLE[name]
    active = tuple(k for k in range(len(row.arguments)) if k not in rules.INTEGER_ARGUMENTS.get(name, ()))
    orders = [of_row(name)]
    for _ in range(3):
        orders.append(partials(orders[-1], active))
    for at in points(row):
        for order in range(4):
            want = by_duals(row, at, active, order)
            assert run(orders[order], *at) == pytest.approx(want, rel=1e-12, abs=1e-14, nan_ok=True), (at, order)


def by_duals(row: rules.Row, at, active, order: int) -> list[float]:
    """The same by nested duals of Python: values, then partials, of all that the order before gave."""
    value = eval(f"lambda {', '.join(row.arguments)}: {row.value}", rules.scalar_namespace())

    def on_duals(*x):
        return value(*x) if all(map(lambda v: dual.level_of(v) < 0, x)) else dual.apply(row, on_duals, x)

    x: list = list(at)
    for level in range(order):
        for k, a in enumerate(active):
            x[a] = dual.make(x[a], [1.0 * (k == other) for other in range(len(active))], level)
    found = [on_duals(*x)]
    for level in reversed(range(order)):
        parts = [dual.partials(c, level, len(active)) for c in found]
        found = [dual.value_at(c, level) for c in found] + [p for part in parts for p in part]
    return [float(dual.strip(c)) for c in found]

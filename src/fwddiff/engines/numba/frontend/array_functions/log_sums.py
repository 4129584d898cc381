"""`logsumexp`, `softmax` and `log_softmax` in kernels: loops over the elements that are reduced,
or, of a tuple, one statement for each. `dual/_log_sums` says why the formulas are what they are.

The text of a function is made for its axes, which have to be known when it is compiled.
"""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fwddiff import special
from fwddiff.engines.numba.frontend.array_functions.arguments import array_overload, is_none, known, new_array
from fwddiff.engines.numba.frontend.constants import constant
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.numbers import is_number, to_float
from numba import types

_APART = "logsumexp: `a` and `b` have shapes that do not go together"
_NAMESPACE = {
    "np": np, "inf": math.inf, "nan": math.nan, "exp": math.exp, "log1p": math.log1p, "sqrt": math.sqrt,
    "constant": constant, "to_float": to_float, "new": new_array(types.float64),
}  # fmt: skip
_MOST_STATEMENTS = 8  # tuples that are longer become arrays


@dataclasses.dataclass(frozen=True)
class _Lines:
    """The elements that are reduced together: along axes of arrays, or the items of tuples.

    In templates of code, `{a}` is an element, `{b}` its weight, `{n}` its number in its line, `{at}` its
    place in an array of the operands' shape.
    """

    ndims: tuple[int, ...]  # of `a` and `b`; 0: a number, whatever the place
    axes: tuple[int, ...]  # that are reduced
    count: int = -1  # of the items of tuples

    @property
    def ndim(self) -> int:
        return max(self.ndims)

    @property
    def kept(self) -> list[int]:
        return [k for k in range(self.ndim) if k not in self.axes]

    def each_line(self, body: Sequence[str]) -> list[str]:
        return _loops([(f"i{k}", f"size{k}") for k in self.kept], body)

    def each_element(self, *body: str) -> list[str]:
        if self.count >= 0:
            return [line for n in range(self.count) for line in self._filled(body, str(n))]
        loops = [(f"i{k}", f"size{k}") for k in self.axes]
        return ["n = 0", *_loops(loops, [*self._filled(body, "n"), "n += 1"])]

    def _filled(self, body: Sequence[str], n: str) -> list[str]:
        at = n if self.count >= 0 else ", ".join(f"i{k}" for k in range(self.ndim))
        elements = [self._element(name, ndim, n) for name, ndim in zip("ab", self.ndims, strict=False)]
        named = dict(zip("ab", [*elements, "1.0"], strict=False))
        return [line.format(n=n, at=at, **named) for line in body]

    def _element(self, name: str, ndim: int, n: str) -> str:
        if self.count >= 0:
            return f"{name}_{n}" if ndim else f"{name}_number"
        if not ndim:
            return f"{name}_number"
        shift, is_alone = self.ndim - ndim, self.ndims.count(0) == len(self.ndims) - 1
        steps = [f"i{k + shift}" + ("" if is_alone else f" * {name}_step{k}") for k in range(ndim)]
        return f"to_float({name}_array[{', '.join(steps)}])"

    def sizes(self) -> list[str]:
        """Lines that find the shape of the operands together."""
        if self.count >= 0:
            return [f"size0 = {self.count}"]
        arrays = [(name, self.ndim - nd, nd) for name, nd in zip("ab", self.ndims, strict=False) if nd]
        lines = []
        for k in range(self.ndim):
            here = [(name, k - shift) for name, shift, _ in arrays if k >= shift]
            shapes = [f"{name}_array.shape[{axis}]" for name, axis in here]
            lines.append(f"size{k} = " + " if {0} != 1 else ".join(shapes).format(shapes[0]))
            if len(arrays) > 1:
                for name, axis in here:
                    lines.append(f"{name}_step{axis} = 0 if {name}_array.shape[{axis}] == 1 else 1")
                    lines.append(f"if {name}_step{axis} == 1 and {name}_array.shape[{axis}] != size{k}:")
                    lines.append(f"    raise ValueError({_APART!r})")
        return lines


def _loops(loops: Sequence[tuple[str, str]], body: Sequence[str]) -> list[str]:
    lines = [f"{'    ' * k}for {index} in range({size}):" for k, (index, size) in enumerate(loops)]
    return [*lines, *("    " * len(loops) + line for line in body)]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


# --- what the operands are ----------------------------------------------------------------------------------


def _depth(kind: Any) -> int:
    """Number of axes of a number, an array or a nested sequence; -1: none of these."""
    if isinstance(kind, types.Array):
        return kind.ndim if is_number(kind.dtype) else -1
    if isinstance(kind, types.BaseTuple):
        inner = {_depth(item) for item in kind.types}
        return 1 + inner.pop() if len(inner) == 1 and -1 not in inner else -1
    if isinstance(kind, types.List):
        return 1 + _depth(kind.dtype) if _depth(kind.dtype) >= 0 else -1
    return 0 if is_number(kind) else -1


def _is_flat_tuple(kind: Any) -> bool:
    return isinstance(kind, types.BaseTuple) and _depth(kind) == 1 and kind.count <= _MOST_STATEMENTS


def _constants(axis: Any, ndim: int) -> tuple[int, ...] | None:
    """The axes that are reduced, if they are known."""
    if is_none(axis):
        return tuple(range(ndim))
    given = axis.types if isinstance(axis, types.BaseTuple) else axis if isinstance(axis, tuple) else (axis,)
    numbers = [known(a) for a in given]
    if not all(type(a) is int and -ndim <= a < ndim for a in numbers):
        return None
    return tuple(sorted(a % ndim for a in numbers))


def _truth(option: Any) -> bool | None:
    option = known(option)
    return option if isinstance(option, bool) else None


def _opened(kinds: Sequence[Any], axis: Any) -> tuple[_Lines, list[str]] | None:
    """The lines of these operands, `a` and perhaps `b`, and code that opens them."""
    ndims = [_depth(kind) for kind in kinds]
    if -1 in ndims:
        return None
    sequences = [kind for kind, ndim in zip(kinds, ndims, strict=True) if ndim]
    alone = all(map(_is_flat_tuple, sequences)) and len({kind.count for kind in sequences}) <= 1
    axes = _constants(axis, max(*ndims, 1))
    if axes is None:
        return None
    if alone:
        count = sequences[0].count if sequences else 1
        ndims[0] = ndims[0] or int(not sequences)
        code = [line for name, kind in zip("ab", kinds, strict=False) for line in _items(name, kind)]
        return _Lines(tuple(ndims), axes, count), code
    code = []
    for name, kind, ndim in zip("ab", kinds, ndims, strict=False):
        array = name if isinstance(kind, types.Array) else f"np.array({name})"
        code.append(f"{name}_array = {array}" if ndim else f"{name}_number = to_float({name})")
    return _Lines(tuple(ndims), axes), code


def _items(name: str, kind: Any) -> list[str]:
    if _depth(kind):
        return [f"{name}_{k} = to_float({name}[{k}])" for k in range(kind.count)]
    return [f"{name}_number = {name}_0 = to_float({name})"]


# --- what is computed ---------------------------------------------------------------------------------------


def _log_sum(lines: _Lines) -> list[str]:
    """Leaves log|Σ b exp(a)| of a line in `log`, and the sign of the sum in `sign`."""
    weighted = len(lines.ndims) > 1
    seen = ["largest = x if x > largest else largest", "x = x if constant({b}) != 0.0 else -inf"]
    return [
        "top, largest, place = -inf, -inf, 0",
        *lines.each_element(
            "x = constant({a})",
            *(seen if weighted else []),
            "if x > top or x != x:",
            "    top, place = x, {n}",
        ),
        "if top == -inf and -inf < largest < inf:",  # weights that are all zero have slopes
        "    top = largest",
        "total, rest, sign = 0.0, 0.0, 1.0",
        "if top == inf:",
        *_indented(_shared(lines)),
        "elif top == -inf:",
        "    log, sign = -inf, 0.0",
        "else:",
        *_indented(_weighted_sum(lines) if weighted else _plain_sum(lines)),
    ]


def _plain_sum(lines: _Lines) -> list[str]:
    terms = lines.each_element("rest += exp({a} - top) - (1.0 if {n} == place else 0.0)")
    return [*terms, "log = top + log1p(rest)"]


def _weighted_sum(lines: _Lines) -> list[str]:
    """A weight of zero cancels what overflows, but not its slope: its root is 0 and has an infinite one."""
    terms = lines.each_element(
        "if constant({b}) == 0.0 and not constant({a}) - top <= 700.0:",
        "    part = sqrt({b})",
        "else:",
        "    part = {b} * exp({a} - top)",
        "total += part",
        "rest += part - (1.0 if {n} == place else 0.0)",
    )
    return [
        *terms,
        "log = top + (log1p(rest) if abs(rest) < 0.5 else np.log(abs(total)))",
        "sign = np.sign(constant(total))",
    ]


def _shared(lines: _Lines) -> list[str]:
    """The value is inf, the slope the mean of those of the elements that are."""
    terms = lines.each_element(
        "if constant({a}) == inf and constant({b}) != 0.0:" if len(lines.ndims) > 1 else "if {a} == inf:",
        "    total += {a}",
        "    rest += 1.0",
        "    weight += constant({b})" if len(lines.ndims) > 1 else "    weight += 1.0",
    )
    return ["weight = 0.0", *terms, "log = total / rest", "sign = np.sign(weight)"]


def _softmax(lines: _Lines) -> list[str]:
    return [
        *_best(lines),
        "total = 0.0",
        *lines.each_element("part = exp({a} - best)", "total += part", "out[{at}] = part"),
        *lines.each_element("out[{at}] = out[{at}] / total"),
    ]


def _log_softmax(lines: _Lines) -> list[str]:
    return [
        *_best(lines),
        "rest = 0.0",
        "if abs(constant(best)) < inf:",
        *_indented(lines.each_element("rest += exp({a} - best) if {n} != place else 0.0")),
        "rest = log1p(rest)",
        *lines.each_element("out[{at}] = ({a} - best) - rest"),
    ]


def _best(lines: _Lines) -> list[str]:
    """Leaves the largest element in `best`, or one that is nan."""
    return [
        "best, place = -inf, 0",
        *lines.each_element("if {a} > best or {a} != {a}:", "    best, place = {a}, {n}"),
        "if best == -inf:",  # of all that are -inf, none is the largest, and each slope is nan
        "    best = 0.0",
        *_indented(lines.each_element("best += {a} / {a}")),
    ]


# --- functions ----------------------------------------------------------------------------------------------


def _compiled(name: str, parameters: str, lines: Sequence[str]) -> Any:
    text = f"def {name}({parameters}):\n" + "".join(f"    {line}\n" for line in lines)
    return compile_function(name, text, dict(_NAMESPACE))


def _logsumexp(a, axis=None, b=None, keepdims=False, return_sign=False):
    kinds = [a] if is_none(b) else [a, b]
    opened, kept, signed = _opened(kinds, axis), _truth(keepdims), _truth(return_sign)
    if opened is None or kept is None or signed is None:
        return None
    lines, code = opened
    outputs = {"out": "log", "signs": "sign"} if signed else {"out": "nan if sign < 0.0 else log"}
    body, results = _log_sum(lines), list(outputs)
    if kept or lines.kept:
        sizes = [f"size{k}" for k in lines.kept] if not kept else _kept_sizes(lines)
        places = [f"i{k}" for k in lines.kept] if not kept else _kept_places(lines)
        made = [f"{name} = new(({''.join(f'{size}, ' for size in sizes)}))" for name in outputs]
        body += [f"{name}[{', '.join(places)}] = {value}" for name, value in outputs.items()]
        body = [*made, *lines.each_line(body)]
    else:
        body += [f"{name} = {value}" for name, value in outputs.items()]
    code = [*code, *lines.sizes(), *body, f"return {', '.join(results)}"]
    return _compiled("logsumexp", "a, axis=None, b=None, keepdims=False, return_sign=False", code)


def _kept_sizes(lines: _Lines) -> list[str]:
    return ["1" if k in lines.axes else f"size{k}" for k in range(lines.ndim)]


def _kept_places(lines: _Lines) -> list[str]:
    return ["0" if k in lines.axes else f"i{k}" for k in range(lines.ndim)]


def _of_all_elements(name: str, body: Any):
    def typer(x, axis=None):
        opened = _opened([x], axis)
        if opened is None:
            return None
        lines, code = opened
        sizes = "".join(f"size{k}, " for k in range(lines.ndim))
        code = ["a = x", *code, *lines.sizes(), f"out = new(({sizes}))", *lines.each_line(body(lines))]
        return _compiled(name, "x, axis=None", [*code, "return out"])

    return typer


def register() -> None:
    """Register everything of this file."""
    array_overload(special.logsumexp, prefer_literal=True)(_logsumexp)
    array_overload(special.softmax, prefer_literal=True)(_of_all_elements("softmax", _softmax))
    array_overload(special.log_softmax, prefer_literal=True)(_of_all_elements("log_softmax", _log_softmax))

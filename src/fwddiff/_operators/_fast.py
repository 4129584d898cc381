"""Repeated calls: one function, written for one operator at arguments of fixed kinds and shapes.

It reads the captured values by the plan's guard, checks the kind of each leaf, and calls the kernel; where
something is not as expected it returns `MISMATCH`, and whoever called it finds out what. The text is straight
lines, for the reasons that `_capture._guard` gives: a check takes some 30 ns, a kernel of few numbers less
than 1 µs.
"""

from __future__ import annotations

import ctypes
import itertools
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fwddiff import _tree
from fwddiff._errors import ArgumentError, ShapeError
from fwddiff._function import Target
from fwddiff._native.arrays import DATA, address
from fwddiff._operators._forms import Form, Plan
from fwddiff._operators._point import Point
from fwddiff._recipe import Gathered
from fwddiff._rule import Repeated, Shape

MISMATCH = object()
Way = Callable[[tuple, Any], Any]
NUMBERS = (float, int, bool, np.float64)
_FORMATS = {"float64": "d", "float32": "f", "int64": "q", "int32": "i", "bool": "?"}
_BYTES = bytes.__basicsize__ - 1  # what stands before the bytes; the last one counted is a zero behind them


class Setting(NamedTuple):
    """All that a way is written for. `args` are the function's arguments, `given` the leaves of the
    (co)tangent."""

    form: Form
    plan: Plan
    point: Point
    target: Target
    gathered: Gathered
    args: tuple
    given: Sequence[Any]


def way_of(s: Setting) -> Way | None:
    """The function `way(arguments of the call, out)`; `None` where calls like this one are not repeated."""
    rule, leaves = s.plan.rule, s.gathered.leaves
    last = rule.inputs[len(rule.inputs) - len(s.given) :]
    s = s._replace(given=[_usual(g, slot.dtype) for g, slot in zip(s.given, last, strict=True)])
    simple = all(type(leaf) in NUMBERS or type(leaf) is np.ndarray for leaf in (*leaves, *s.given))
    is_whole = len(s.point.call.dynamic) == len(leaves) and not s.point.call.detached
    ends = _ends(s.target, s.args)
    if s.plan.by_hand or s.point.rule.depends_on_integers or not (simple and is_whole) or ends is None:
        return None
    operands = [*leaves, *[1.0] * s.plan.ones, *s.given]
    slots = rule.inputs
    if any(type(x) is np.ndarray and x.dtype != d.dtype for x, d in zip(operands, slots, strict=True)):
        return None
    arrays = [np.array(x, d.dtype, order="C") for x, d in zip(operands, slots, strict=True)]
    repeated = rule.repeated(arrays)
    return None if repeated is None else _Writer(s, repeated, arrays, ends).made()


def _usual(given: Any, dtype: np.dtype) -> Any:
    """A leaf of a (co)tangent as later calls will have it: not of integers, though this one may be."""
    if type(given) is np.ndarray:
        return given.astype(dtype, copy=False)
    return float(given) if type(given) in NUMBERS else given


def _ends(target: Target, args: tuple) -> tuple[tuple, tuple] | None:
    """What stands before and after the arguments of a call when presets and defaults are filled in; `None`
    where they are not that simple."""
    if target.preset_kwargs or target.live.__kwdefaults__:
        return None
    bound, first = target.bind(args, {}), len(target.preset_args)
    if not all(a is b for a, b in zip(bound[first:], args, strict=False)):
        return None
    return tuple(bound[:first]), tuple(bound[first + len(args) :])


class _Writer:
    """Names in the text: `x…` are arguments, `a…` their leaves if these are others, `c…` captured values,
    `g…` leaves of the (co)tangent, `p…` addresses of arrays, `r…` outputs, `q…` their addresses."""

    def __init__(self, s: Setting, repeated: Repeated, arrays: Sequence[np.ndarray], ends: tuple):
        self.s, self.repeated, self.arrays, self.ends = s, repeated, arrays, ends
        self.lines: list[str] = []
        self.space: dict[str, Any] = _NAMES | {
            "target": s.target,
            "guard": s.gathered.plan.guard,
            "run": repeated.run,
            "pack": struct.Struct(f"{len(arrays) + len(repeated.outputs)}q").pack,
            "assemble": s.plan.assemble,
        }
        self.leaves: list[str] = []
        self.given = [f"g{k}" for k in range(len(s.given))]
        floats = [slot.dtype for slot in s.point.rule.inputs if slot.dtype.kind == "f"]
        self.is_double = all(dtype == np.float64 for dtype in floats)
        self.addresses: list[str] = []
        self.numbers: list[str] = []
        self.spans: list[tuple[str, int]] = []  # addresses and sizes of arrays
        self.format = "@"
        self.of_arrays: dict[int, list[str]] = {}

    def constant(self, value: Any) -> str:
        name = f"k{len(self.space)}"
        self.space[name] = value
        return name

    def unless(self, condition: str) -> None:
        self.lines.append(f"if not ({condition}): return MISMATCH")

    def made(self) -> Way:
        self._arguments()
        self._given()
        self._captured()
        self._operands()
        self._call()
        body = "\n    ".join(self.lines)
        exec(f"def way(args, out):\n    {body}\n", self.space)
        return self.space["way"]

    # --- leaves ---------------------------------------------------------------------------------------------

    def _arguments(self) -> None:
        """Leaves of the arguments, presets and defaults included."""
        form, count = self.s.form, len(self.s.args)
        names = [f"x{k}" for k in range(count)]
        self.unless(f"len(args) == {count + bool(form.takes)}")
        taken = [names[0], "t", *names[1:]] if form.takes else names
        self.lines.append(f"{_listing(taken)} = args")
        head, tail = self.ends
        if tail:
            self.unless(f"target.live.__defaults__ is {self.constant(self.s.target.live.__defaults__)}")
        current = self.s.point.call.current
        if current is not None:
            self.unless(f"{self.constant(current)}()")
        self.leaves = self._flattened([*map(self.constant, head), *names, *map(self.constant, tail)])

    def _flattened(self, names: list[str]) -> list[str]:
        spec = self.s.gathered.arguments
        if _tree.is_flat(spec):
            return names
        leaves = [f"a{k}" for k in range(spec.num_leaves)]
        self.lines.append(f"leaves, spec = flatten({_listing(names)})")
        self.unless(f"spec == {self.constant(spec)}")
        self.lines.append(f"{_listing(leaves)} = leaves")
        return leaves

    def _given(self) -> None:
        """Leaves of the (co)tangent."""
        if self.given:
            of_leaves = f"{self.constant(self.s.plan.given)}(t)"
            is_leaf = len(self.given) == 1 and self._takes_leaf()
            self.lines.append(f"{_listing(self.given)} = {'(t,)' if is_leaf else of_leaves}")

    def _takes_leaf(self) -> bool:
        point = self.s.point
        return point.is_plain() if self.s.form.takes == "tangent" else point.tree().is_leaf()

    def _captured(self) -> None:
        """What the function captures now, if it still is what it was."""
        specs = self.s.gathered.captured
        self.lines.append("values = guard(target.live, target.bound)")
        self.unless("values is not None")
        if not specs:
            return
        names = [f"c{k}" for k in range(sum(spec.num_leaves for spec in specs))]
        if not all(spec.is_leaf() for spec in specs):
            self.lines.append(f"values = opened(values, {self.constant(specs)})")
            self.unless("values is not None")
        self.lines.append(f"{_listing(names)} = values")
        self.leaves += names

    # --- operands -------------------------------------------------------------------------------------------

    def _operands(self) -> None:
        names = [*self.leaves, *[""] * self.s.plan.ones, *self.given]
        leaves = [*self.s.gathered.leaves, *[1.0] * self.s.plan.ones, *self.s.given]
        for name, leaf, array in zip(names, leaves, self.arrays, strict=True):
            if not name:
                self.addresses.append(str(address(array)))
                self.constant(array)  # stays where it is
            elif type(leaf) is np.ndarray:
                self._check_array(name, array)
                self.spans.append((self._address(name), array.nbytes))
                self.of_arrays.setdefault(array.itemsize, []).append(self.spans[-1][0])
            else:
                self._check_number(name, leaf, array.dtype)
                self._number(name, array.dtype)
        if self.numbers:
            self._pack_numbers()
        for size, places in self.of_arrays.items():
            if size > 1:  # aligned
                self.unless(f"({' | '.join(places)}) & {size - 1} == 0")

    def _check_array(self, name: str, array: np.ndarray) -> None:
        """Kernels read rows that follow each other: slices and the like are copied, but for presets and
        defaults, which are constants of the text."""
        if name in self.space:
            return self.unless(self._is_like(name, array))
        self.unless(self._is_of_kind(name, array))
        strides = self.constant(array.strides)
        return self.lines.append(f"if {name}.strides != {strides}: {name} = contiguous({name})")

    def _is_of_kind(self, name: str, array: np.ndarray) -> str:
        native = np.dtype(array.dtype.type)  # the one object that arrays share
        dtype, shape = map(self.constant, (native, array.shape))
        return f"type({name}) is ndarray and {name}.dtype is {dtype} and {name}.shape == {shape}"

    def _is_like(self, name: str, array: np.ndarray) -> str:
        return f"{self._is_of_kind(name, array)} and {name}.strides == {self.constant(array.strides)}"

    def _check_number(self, name: str, leaf: Any, dtype: np.dtype) -> None:
        if type(leaf) in (float, np.float64) and dtype == np.float64 and self.is_double:
            self.unless(f"type({name}) is float or type({name}) is float64")
        else:
            self.unless(f"type({name}) is {self.constant(type(leaf))}")

    def _number(self, name: str, dtype: np.dtype) -> None:
        """Numbers go into one string of bytes, which lies behind the head of its Python object."""
        self.format += _FORMATS[dtype.name]
        place = struct.calcsize(self.format) - dtype.itemsize
        self.numbers.append(name)
        self.addresses.append(f"id(numbers) + {_BYTES + place}")

    def _pack_numbers(self) -> None:
        pack = self.constant(struct.Struct(self.format).pack)
        self.lines += [
            f"try: numbers = {pack}({', '.join(self.numbers)})",
            f"except {self.constant((struct.error, OverflowError))}: return MISMATCH",
        ]

    def _address(self, name: str) -> str:
        place = f"p{len(self.addresses)}"
        self.lines.append(f"{place} = at(id({name}) + {DATA}).value")
        self.addresses.append(place)
        return place

    # --- the call -------------------------------------------------------------------------------------------

    def _call(self) -> None:
        outputs = self.repeated.outputs
        numbers = [k for k, (shape, dtype) in enumerate(outputs) if not shape and dtype == np.float64]
        places, results = {}, [f"r{k}" if shape else f"r{k}.item()" for k, (shape, _) in enumerate(outputs)]
        if len(numbers) > 1:  # share an array
            self.lines += [f"r = empty({len(numbers)})", f"q = at(id(r) + {DATA}).value"]
            places = {k: f"q + {8 * n}" for n, k in enumerate(numbers)}
        for k, (shape, dtype) in enumerate(outputs):
            if k not in places:
                self._room(k, shape, dtype)
                places[k] = f"q{k}"
        listing = ", ".join([*self.addresses, *(places[k] for k in range(len(outputs)))])
        self.lines.append(f"run(pack({listing}))")
        self._copy_back()
        if len(numbers) > 1:
            self.lines.append(f"{_listing([f'r{k}' for k in numbers])} = r.tolist()")
            results = [f"r{k}" if k in numbers else text for k, text in enumerate(results)]
        self.lines.append(f"return assemble({_listing(results)})")

    def _room(self, k: int, shape: Shape, dtype: np.dtype) -> None:
        """Memory of an output: new, or the caller's `out`, if that is not memory of an input too."""
        place = f"q{k} = at(id(r{k}) + {DATA}).value"
        like = np.empty(shape, dtype)
        known = [f"{self.constant(shape)}", f"{self.constant(dtype)}"]
        new = f"r{k} = empty({', '.join(known)})"
        if k not in self.s.plan.arrays:
            self.lines += [new, place]
            return
        out = self._out(self.s.plan.arrays.index(k))
        shared = [f"{-like.nbytes} < q{k} - {p} < {size}" for p, size in self.spans]
        self.lines += [
            f"if out is None: {new}",
            f"elif {self._is_like(out, like)} and {out}.flags.writeable: r{k} = {out}",
            f"else: r{k} = beside({out}, {', '.join(known)})",
            place,
            f"if out is not None and ({' or '.join([f'q{k} & {dtype.itemsize - 1}', *shared])}):",
            f"    {new}; {place}",
        ]

    def _out(self, part: int) -> str:
        return "out" if self.s.form.parts == 1 else f"out[{part}]"

    def _copy_back(self) -> None:
        arrays, parts = self.s.plan.arrays, self.s.form.parts
        if not arrays or parts > 1:
            others = f" and len(out) != {parts}" if arrays else ""
            self.lines.insert(0, f"if out is not None{others}: return MISMATCH")
        for part, k in enumerate(arrays):
            out = self._out(part)
            self.lines += [
                f"if out is not None and r{k} is not {out}:",
                f"    {out}[...] = r{k}; r{k} = {out}",
            ]


def _listing(names: Sequence[str]) -> str:
    return f"({', '.join(names)}{',' * (len(names) == 1)})"


def _opened(values: Sequence[Any], specs: Sequence[Any]) -> list[Any] | None:
    """Leaves of captured values, if they have these structures."""
    pairs = [_tree.flatten(value) for value in values]
    if [spec for _, spec in pairs] != list(specs):
        return None
    return list(itertools.chain.from_iterable(leaves for leaves, _ in pairs))


# --- out= ---------------------------------------------------------------------------------------------------


def checked(out: Any, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """`out`, if a result of this shape and dtype can be written into it."""
    if type(out) is not np.ndarray:
        raise ArgumentError(f"out= is to be a NumPy array, not {type(out).__name__}.")
    if out.shape != shape:
        raise ShapeError(f"out= has shape {out.shape}, the result {shape}.")
    if out.dtype != dtype:
        raise ArgumentError(f"out= has dtype {out.dtype}, the result {dtype}.")
    if not out.flags.writeable:
        raise ArgumentError("out= is read-only.")
    return out


def _beside(out: Any, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """A new array where a kernel cannot write into `out` itself, which is not contiguous."""
    checked(out, shape, dtype)
    return np.empty(shape, dtype)


_NAMES = {
    "MISMATCH": MISMATCH,
    "ndarray": np.ndarray,
    "float64": np.float64,
    "empty": np.empty,
    "contiguous": np.ascontiguousarray,
    "at": ctypes.c_ssize_t.from_address,
    "flatten": _tree.flatten,
    "opened": _opened,
    "beside": _beside,
}

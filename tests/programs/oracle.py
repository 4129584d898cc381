"""What a program computes, and its derivatives, by mpmath: differences at 40 digits, element by element.

Nothing of the package computes here; its table only tells which names of Python and NumPy mean the same row.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import itertools
import linecache
import math
import types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
import optree

from fwddiff import rules
from programs.structs import Box, Pair

DIGITS = 40
NAMESPACE = "programs"
optree.register_pytree_node(
    Box,
    lambda box: ((box.width, box.height), None, ("width", "height")),
    lambda _, fields: Box(*fields),
    namespace=NAMESPACE,
)
_numbers = itertools.count()


class Unsuitable(Exception):
    """A program with a kink at its arguments, or with numbers too large to compare."""


class Expected(NamedTuple):
    """Float outputs (flat, in order), gradient and Hessian-vector product of their weighted sum."""

    outputs: list[np.ndarray]
    gradient: list[np.ndarray]
    product: list[np.ndarray]


def flatten(tree: Any) -> tuple[list, Any]:
    with optree.dict_insertion_ordered(True, namespace=NAMESPACE):
        return optree.tree_flatten(tree, namespace=NAMESPACE)


def unflatten(spec: Any, leaves: Sequence[Any]) -> Any:
    return optree.tree_unflatten(spec, leaves)


def is_float(leaf: Any) -> bool:
    return np.asarray(leaf).dtype.kind == "f"


def function_of(source: str, namespace: dict[str, Any] | None = None) -> Callable:
    """`program` of a source text, kept where tracebacks find its lines."""
    filename = f"<program {next(_numbers)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    names = {"math": math, "np": np, "Pair": Pair, "Box": Box, "__name__": "programs.made"} | (
        namespace or {}
    )
    exec(compile(source, filename, "exec"), names)
    return names["program"]


class _FloorDivision(ast.NodeTransformer):
    """mpmath's numbers have no `//`."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.FloorDiv):
            return node
        return ast.Call(ast.Name("floor_divide", ast.Load()), [node.left, node.right], [])


class _Kept:
    """Numbers that stay what they are at the arguments while the arguments are moved, in order of the calls.

    What `wrt=` leaves out is such a number. So is the distance from a primitive of a rule's slopes to the
    function's value: the two together have that value and, at every order, those slopes.
    """

    def __init__(self):
        self.numbers: list[Any] = []
        self.fresh: Any = None

    def record(self, function: Callable, *arguments: Any) -> Any:
        self.numbers, self.fresh = [], None
        return function(*arguments)

    def replay(self, function: Callable, *arguments: Any) -> Any:
        """Raises `Unsuitable` where the calls are others than at the arguments."""
        self.fresh = iter(self.numbers)
        found = function(*arguments)
        if next(self.fresh, None) is not None:
            raise Unsuitable
        return found

    def keep(self, number: Any) -> Any:
        if self.fresh is None:
            self.numbers.append(number)
            return number
        kept = next(self.fresh, None)
        if kept is None:
            raise Unsuitable
        return kept

    def by_rule(self, f: Callable, primitive: Callable, *slopes: Any) -> Callable:
        def function(*args, **kwargs):
            found = primitive(*args, **kwargs)
            return found + self.keep(f(*args, **kwargs) - found)

        return function

    def partly(self, f: Callable, name: str) -> Callable:
        def function(*args, **kwargs):
            bound = inspect.signature(f).bind(*args, **kwargs)
            bound.apply_defaults()
            moving = {k: v if k == name else self.keep(v) for k, v in bound.arguments.items()}
            return f(**moving)

        return function

    def meanings(self) -> dict[str, Callable]:
        rules = dict.fromkeys(("by_scalar_rule", "by_frule", "by_rrule"), self.by_rule)
        return rules | {"partly": self.partly}


def _add_arrays(numpy: types.SimpleNamespace) -> None:
    """Arrays that a program makes hold mpmath's numbers."""
    numpy.full = lambda count, number: np.full(count, mp.mpf(number), object)
    numpy.zeros = numpy.empty = lambda count, dtype=None: numpy.full(count, 0)
    numpy.ones = lambda count, dtype=None: numpy.full(count, 1)
    numpy.sum = lambda array: sum(array, mp.mpf(0))


def exact_function(source: str, values: dict[str, Callable], kept: _Kept) -> Callable:
    """The program with every function replaced by mpmath's; `values`: row of the table → function."""
    tree = ast.fix_missing_locations(_FloorDivision().visit(ast.parse(source)))
    modules = {math: types.SimpleNamespace(**vars(math)), np: types.SimpleNamespace(array=np.array)}
    for row in rules.built_in():
        for function in row.functions:
            for module, replaced in modules.items():
                if getattr(module, function.__name__, None) is function:
                    setattr(replaced, function.__name__, values[row.name])
    exact_math, exact_numpy = modules[math], modules[np]
    exact_math.log = lambda x, base=None: mp.log(x) / (1 if base is None else mp.log(base))
    exact_math.floor = exact_math.ceil = None
    exact_math.floor, exact_math.ceil = (lambda x: int(mp.floor(x))), (lambda x: int(mp.ceil(x)))
    exact_math.trunc = int
    exact_numpy.where = lambda condition, a, b: a if condition else b
    exact_numpy.clip = lambda x, low, high: min(max(x, low), high)
    exact_numpy.float64 = mp.mpf
    _add_arrays(exact_numpy)
    names = kept.meanings() | {
        "math": exact_math,
        "np": exact_numpy,
        "float": mp.mpf,
        "round": lambda x: int(mp.nint(x)),
        "divmod": lambda a, b: (mp.floor(a / b), a - b * mp.floor(a / b)),
        "floor_divide": lambda a, b: mp.floor(mp.mpf(a) / b),
        "pow": builtins.pow,
    }
    return function_of(ast.unparse(tree), names)


def weights(count: int) -> list[float]:
    """The objective is the sum of the float outputs, each times its weight."""
    return [1.0, 0.7, -0.4, 0.3][:count]


def expected(
    source: str, arguments: tuple, directions: list[np.ndarray], values: dict, margin: float
) -> Expected:
    """Raises `Unsuitable` where the derivative changes within `margin` of the arguments."""
    with mp.workdps(DIGITS):
        kept = _Kept()
        function = exact_function(source, values, kept)
        return _over_elements(function, kept, arguments, directions, margin)


def _over_elements(
    function: Callable, kept: _Kept, arguments: tuple, directions: list[np.ndarray], margin: float
) -> Expected:
    leaves, spec = flatten(arguments)
    active = [k for k, leaf in enumerate(leaves) if is_float(leaf)]
    shape = np.broadcast_shapes(*[np.shape(leaf) for leaf in leaves])
    gradients = [np.zeros(np.shape(leaves[k])) for k in active]
    products = [np.zeros(np.shape(leaves[k])) for k in active]
    outputs: list[np.ndarray] = []
    for index in np.ndindex(shape):
        places = [_place(index, np.shape(leaf)) for leaf in leaves]
        scalars = [np.asarray(leaf)[place].item() for leaf, place in zip(leaves, places, strict=True)]
        moves = [directions[j][places[k]] for j, k in enumerate(active)]
        element = _Element(function, kept, spec, scalars, active, [float(m) for m in moves])
        found = element.derivatives(margin)
        for j, output in enumerate(found.outputs):
            if len(outputs) <= j:
                outputs.append(np.zeros(shape + np.shape(output)))
            outputs[j][index] = output
        for j, k in enumerate(active):
            gradients[j][places[k]] += found.gradient[j]
            products[j][places[k]] += found.product[j]
    return Expected(outputs, gradients, products)


def _place(index: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Where an element of the loop finds its number in an array of this shape."""
    own = index[len(index) - len(shape) :]
    return tuple(0 if extent == 1 else i for i, extent in zip(own, shape, strict=True))


class _Element:
    """The program at one element of the loop."""

    def __init__(
        self,
        function: Callable,
        kept: _Kept,
        spec: Any,
        scalars: list,
        active: list[int],
        moves: list[float],
    ):
        self.function, self.kept, self.spec, self.active = function, kept, spec, active
        self.scalars = [mp.mpf(x) if isinstance(x, float) else x for x in scalars]
        self.moves = [mp.mpf(m) for m in moves]

    def outputs(self, run: Callable, shifts: Sequence[Any]) -> list[np.ndarray]:
        moved = list(self.scalars)
        for k, shift in zip(self.active, shifts, strict=True):
            moved[k] = moved[k] + shift
        found = [np.asarray(y) for y in flatten(run(self.function, *unflatten(self.spec, moved)))[0]]
        return [y for y in found if y.dtype.kind in "fO" or y in (0, 1)]

    def total(self, shifts: Sequence[Any]) -> Any:
        found = self.outputs(self.kept.replay, shifts)
        return sum(mp.mpf(w) * y.sum() for w, y in zip(weights(len(found)), found, strict=True))

    def derivatives(self, margin: float) -> Expected:
        values = self.outputs(self.kept.record, [0] * len(self.active))
        fine, coarse = self._differences(mp.mpf("1e-10")), self._differences(mp.mpf(margin))
        for a, b in zip((*fine[0], *fine[1]), (*coarse[0], *coarse[1]), strict=True):
            if not abs(a - b) <= 100 * margin * (1 + abs(a)) or abs(a) > 1e4:
                raise Unsuitable
        if any(not abs(y) < 1e4 for output in values for y in output.flat):
            raise Unsuitable
        return Expected([y.astype(float) for y in values], *([float(d) for d in part] for part in fine))

    def _differences(self, step: Any) -> tuple[list, list]:
        """Gradient, and its derivative along the moves, by central differences."""
        first, second = [], []
        for j in range(len(self.active)):
            unit = [step * (i == j) for i in range(len(self.active))]
            ends = {}
            for a, b in itertools.product((1, -1), (1, 0, -1)):
                ends[a, b] = self.total([a * u + b * step * m for u, m in zip(unit, self.moves, strict=True)])
            first.append((ends[1, 0] - ends[-1, 0]) / (2 * step))
            second.append((ends[1, 1] - ends[1, -1] - ends[-1, 1] + ends[-1, -1]) / (4 * step**2))
        return first, second

"""Every way to a derivative: engines without a host, and hosts, as a user of each would write it."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from fwddiff import _tree
from fwddiff._chainrules import frule, rrule
from fwddiff._errors import ArgumentError
from fwddiff._thunk import unthunk
from fwddiff._wrapper import Operation
from fwddiff.testing._point import Point, float_outputs

Arrays = list[np.ndarray]


class Backend(NamedTuple):
    """`pullback(point, cotangents)` gives one cotangent per active leaf, `pushforward(point, tangents)` one
    tangent per float output."""

    name: str
    is_host: bool
    pullback: Callable[[Point, Sequence[np.ndarray]], Arrays]
    pushforward: Callable[[Point, Sequence[np.ndarray]], Arrays]


def backends(names: Sequence[str] | None = None) -> list[Backend]:
    """The engines and the installed hosts, or those with these names.

    Raises `ArgumentError` for a name that is unknown or not installed.
    """
    found = [_engine(name) for name in ("numba", "numpy")]
    found += [_HOSTS[name]() for name in _HOSTS if find_spec(name) is not None]
    if names is None:
        return found
    known = {backend.name: backend for backend in found}
    missing = [name for name in names if name not in known]
    if missing:
        raise ArgumentError(f"backend {missing[0]!r} is not there: there are {', '.join(known)}.")
    return [known[name] for name in names]


# --- engines ------------------------------------------------------------------------------------------------


def _engine(name: str) -> Backend:
    def pullback(point: Point, cotangents: Sequence[np.ndarray]) -> Arrays:
        operation = point.with_engine(name)
        y, back = rrule(operation, *point.args, **point.kwargs)
        thunks = back(_mirror_of(y, cotangents))
        leaves = [leaf for thunk, arg in zip(thunks, point.args, strict=True) for leaf in _along(thunk, arg)]
        return [np.asarray(leaves[k]) for k in point.active]

    def pushforward(point: Point, tangents: Sequence[np.ndarray]) -> Arrays:
        _, moved = frule(_without_keywords(point, name), point.args, point.mirrored(tangents))
        return float_outputs(moved)

    return Backend(name, False, pullback, pushforward)


def _along(thunk: Any, argument: Any) -> list[Any]:
    spec = _tree.flatten(argument)[1]
    cotangent = unthunk(thunk)
    return [cotangent] if spec.is_leaf() else spec.flatten_up_to(cotangent)


def _mirror_of(y: Any, cotangents: Sequence[np.ndarray]) -> Any:
    leaves, spec = _tree.flatten(y)
    given = iter(cotangents)
    return _tree.unflatten(spec, [next(given) if float_outputs(leaf) else None for leaf in leaves])


def _without_keywords(point: Point, engine: str) -> Operation:
    """The operation with its keyword arguments fixed: `frule` takes positional ones alone."""
    operation = point.with_engine(engine)
    if not point.kwargs:
        return operation
    bound = Operation(operation.wrapped, operation.kind)
    prepare = operation.prepare
    bound.prepare = lambda *args, **kwargs: prepare(*args, **{**point.kwargs, **kwargs})  # type: ignore
    return bound


# --- hosts --------------------------------------------------------------------------------------------------


def _torch() -> Backend:
    torch = importlib.import_module("torch")

    def floats(result: Any) -> list[Any]:
        leaves = _tree.flatten(result)[0]
        return [y for y in leaves if isinstance(y, torch.Tensor) and y.is_floating_point()]

    def pullback(point: Point, cotangents: Sequence[np.ndarray]) -> Arrays:
        leaves = [torch.tensor(leaf, requires_grad=True) for leaf in point.leaves]
        outputs = floats(point.operation(*point.arguments(leaves), **point.kwargs))
        given = [torch.tensor(ct).to(y.dtype) for ct, y in zip(cotangents, outputs, strict=True)]
        pairs = [(y, ct) for y, ct in zip(outputs, given, strict=True) if y.requires_grad]
        if not pairs:
            return [np.zeros(leaf.shape) for leaf in point.leaves]
        smooth, weights = zip(*pairs, strict=True)
        found = torch.autograd.grad(smooth, leaves, weights, allow_unused=True)
        return [
            np.zeros(leaf.shape) if g is None else g.numpy() for g, leaf in zip(found, leaves, strict=True)
        ]

    def pushforward(point: Point, tangents: Sequence[np.ndarray]) -> Arrays:
        def function(*leaves: Any) -> tuple:
            return tuple(floats(point.operation(*point.arguments(leaves), **point.kwargs)))

        moving = tuple(
            torch.tensor(np.asarray(t, x.dtype)) for t, x in zip(tangents, point.leaves, strict=True)
        )
        _, moved = torch.func.jvp(function, tuple(map(torch.tensor, point.leaves)), moving)
        return [y.numpy() for y in moved]

    return Backend("torch", True, pullback, pushforward)


def _jax() -> Backend:
    jax = importlib.import_module("jax")

    def function(point: Point) -> Callable:
        def floats(*arrays: Any) -> list[Any]:
            result = point.operation(*point.arguments(arrays), **point.kwargs)
            leaves = map(jax.numpy.asarray, _tree.flatten(result)[0])
            return [y for y in leaves if jax.numpy.issubdtype(y.dtype, np.floating)]

        return floats

    def pullback(point: Point, cotangents: Sequence[np.ndarray]) -> Arrays:
        with double_precision(jax):
            outputs, back = jax.vjp(function(point), *map(jax.numpy.asarray, point.leaves))
            given = [jax.numpy.asarray(ct, y.dtype) for ct, y in zip(cotangents, outputs, strict=True)]
            return [np.asarray(g) for g in back(given)]

    def pushforward(point: Point, tangents: Sequence[np.ndarray]) -> Arrays:
        with double_precision(jax):
            primals = tuple(map(jax.numpy.asarray, point.leaves))
            moving = tuple(jax.numpy.asarray(t, x.dtype) for t, x in zip(tangents, primals, strict=True))
            return [np.asarray(t) for t in jax.jvp(function(point), primals, moving)[1]]

    return Backend("jax", True, pullback, pushforward)


def double_precision(jax: Any) -> contextlib.AbstractContextManager:
    """JAX with 64-bit types; the way to say so moved in 0.8."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    return importlib.import_module("jax.experimental").enable_x64()


def _autograd() -> Backend:
    core = importlib.import_module("autograd.core")
    getval = importlib.import_module("autograd.tracer").getval

    def function(point: Point) -> Callable:
        def flat(leaves: Any) -> Any:
            result = point.operation(*point.arguments(list(leaves)), **point.kwargs)
            floats = [y for y in _tree.flatten(result)[0] if np.asarray(getval(y)).dtype.kind == "f"]
            return importlib.import_module("autograd.builtins").tuple(floats)

        return flat

    def pullback(point: Point, cotangents: Sequence[np.ndarray]) -> Arrays:
        back, outputs = core.make_vjp(function(point), tuple(point.leaves))
        given = tuple(np.asarray(ct, np.asarray(y).dtype) for ct, y in zip(cotangents, outputs, strict=True))
        return [np.asarray(g) for g in back(given)]

    def pushforward(point: Point, tangents: Sequence[np.ndarray]) -> Arrays:
        push = core.make_jvp(function(point), tuple(point.leaves))
        moving = tuple(np.asarray(t, x.dtype) for t, x in zip(tangents, point.leaves, strict=True))
        return [np.asarray(t) for t in push(moving)[1]]

    return Backend("autograd", True, pullback, pushforward)


def _tensorflow() -> Backend:
    tf = importlib.import_module("tensorflow")

    def floats(point: Point, leaves: Sequence[Any]) -> list[Any]:
        found = _tree.flatten(point.operation(*point.arguments(leaves), **point.kwargs))[0]
        return [y for y in found if tf.is_tensor(y) and y.dtype.is_floating]

    def pullback(point: Point, cotangents: Sequence[np.ndarray]) -> Arrays:
        leaves = [tf.constant(leaf) for leaf in point.leaves]
        with tf.GradientTape() as tape:
            tape.watch(leaves)
            outputs = floats(point, leaves)
        given = [tf.cast(ct, y.dtype) for ct, y in zip(cotangents, outputs, strict=True)]
        return [g.numpy() for g in tape.gradient(outputs, leaves, given, unconnected_gradients="zero")]

    def pushforward(point: Point, tangents: Sequence[np.ndarray]) -> Arrays:
        leaves = [tf.constant(leaf) for leaf in point.leaves]
        moving = [tf.constant(np.asarray(t, x.dtype)) for t, x in zip(tangents, point.leaves, strict=True)]
        with tf.autodiff.ForwardAccumulator(leaves, moving) as accumulator:
            outputs = floats(point, leaves)
        return [accumulator.jvp(y, unconnected_gradients="zero").numpy() for y in outputs]

    return Backend("tensorflow", True, pullback, pushforward)


def _mlx() -> Backend:
    mx = importlib.import_module("mlx.core")
    kinds = (mx.float32, mx.float64)

    def function(point: Point) -> Callable:
        def floats(*leaves: Any) -> list[Any]:
            found = _tree.flatten(point.operation(*point.arguments(leaves), **point.kwargs))[0]
            return [y for y in found if isinstance(y, mx.array) and y.dtype in kinds]

        return floats

    def arrays(values: Sequence[np.ndarray], like: Sequence[Any]) -> list[Any]:
        return [
            mx.array(np.asarray(v), dtype=mx.float64 if x.dtype in (np.float64, mx.float64) else mx.float32)
            for v, x in zip(values, like, strict=True)
        ]

    def pullback(point: Point, cotangents: Sequence[np.ndarray]) -> Arrays:
        with mx.stream(mx.cpu):
            leaves = arrays(point.leaves, point.leaves)
            given = arrays(cotangents, function(point)(*leaves))
            return [np.asarray(g) for g in mx.vjp(function(point), leaves, given)[1]]

    def pushforward(point: Point, tangents: Sequence[np.ndarray]) -> Arrays:
        with mx.stream(mx.cpu):
            leaves = arrays(point.leaves, point.leaves)
            moved = mx.jvp(function(point), leaves, arrays(tangents, point.leaves))[1]
            return [np.asarray(t) for t in moved]

    return Backend("mlx", True, pullback, pushforward)


def _pytensor() -> Backend:
    pytensor, pt = importlib.import_module("pytensor"), importlib.import_module("pytensor.tensor")
    gradient = importlib.import_module("pytensor.gradient")

    def graph(point: Point) -> tuple[list[Any], list[Any]]:
        leaves = [pt.tensor(dtype=leaf.dtype.name, shape=leaf.shape) for leaf in point.leaves]
        found = _tree.flatten(point.operation(*point.arguments(leaves), **point.kwargs))[0]
        return leaves, [y for y in found if hasattr(y, "type") and y.type.dtype.startswith("float")]

    def run(point: Point, leaves: list[Any], results: list[Any]) -> Arrays:
        function = pytensor.function(leaves, results, mode="FAST_COMPILE", on_unused_input="ignore")
        return [np.asarray(y) for y in function(*point.leaves)]

    def pullback(point: Point, cotangents: Sequence[np.ndarray]) -> Arrays:
        leaves, outputs = graph(point)
        known = {y: pt.constant(np.asarray(c, y.dtype)) for y, c in zip(outputs, cotangents, strict=True)}
        return run(
            point, leaves, pytensor.grad(None, leaves, known_grads=known, disconnected_inputs="ignore")
        )

    def pushforward(point: Point, tangents: Sequence[np.ndarray]) -> Arrays:
        leaves, outputs = graph(point)
        moving = [pt.constant(np.asarray(t, x.dtype)) for t, x in zip(tangents, point.leaves, strict=True)]
        moved = gradient.Rop(outputs, leaves, moving, disconnected_outputs="ignore")
        return run(point, leaves, [pt.as_tensor(t) for t in moved])

    return Backend("pytensor", True, pullback, pushforward)


_HOSTS: dict[str, Callable[[], Backend]] = {
    "torch": _torch,
    "jax": _jax,
    "autograd": _autograd,
    "tensorflow": _tensorflow,
    "pytensor": _pytensor,
    "mlx": _mlx,
}


def loaded(backend: Backend) -> bool:
    """Whether the program has imported the backend's host already (engines always are there)."""
    return not backend.is_host or backend.name in sys.modules

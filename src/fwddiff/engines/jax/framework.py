"""JAX's arrays and derivatives.

A function with a `custom_vjp` has no forward mode in JAX: its pushforward is the transpose of its pullback,
which is linear. One with a `while_loop` has no reverse mode: its pullback has a pushforward per input
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

import jax
import jax.numpy as jnp
from fwddiff import _nesting
from fwddiff._errors import ArgumentError, DerivativeError, HostError
from fwddiff._rule import Shape
from fwddiff.engines.foreign.framework import Back, Core, Framework, Like
from jax.core import Tracer

_DTYPES = {"float32", "float64", "bool"} | {f"{k}{b}" for k in ("int", "uint") for b in (8, 16, 32, 64)}


_JITTED = jax.jit(lambda: None)


class _Jax(Framework):
    name = "JAX"
    unmappable = (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)

    # --- arrays ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def session(self, dtypes: Sequence[np.dtype]):
        if _nesting.is_in_jax():
            raise HostError(
                f"a function written for JAX is called {_nesting.WAITING}, and the two could wait for each "
                "other for ever. Under jax.jit leave fwddiff out around it: JAX differentiates a function "
                "written for JAX itself, and the rest may be written for it too. Without jit, and on arrays "
                "of NumPy or PyTorch, it works."
            )
        is_wider = not _wide() and np.dtype(np.float64) in dtypes
        precision = _enable_x64() if is_wider else contextlib.nullcontext()
        # NumPy arrays were given: nothing here is for a `jit` that may be tracing.
        with precision, jax.ensure_compile_time_eval():
            yield

    def owns(self, leaf: Any) -> bool:
        return isinstance(leaf, jax.Array)

    def is_moving(self, leaf: Any) -> bool:
        return isinstance(leaf, Tracer)

    def lent(self, array: np.ndarray) -> jax.Array:
        if array.dtype.kind in "iu" and array.itemsize == 8 and not _wide():
            narrow = np.dtype(array.dtype.kind + "4")
            if not np.array_equal(array.astype(narrow), array):
                raise ArgumentError(
                    "an integer of more than 32 bits for a function of JAX, which has only 32 here: use "
                    "jax.config.update('jax_enable_x64', True)."
                )
        return jax.device_put(array)  # unlike `jnp.asarray`, without a copy where the memory is aligned

    def taken(self, array: Any, dtype: np.dtype, given: Sequence[np.ndarray]) -> np.ndarray:
        # JAX's arrays are immutable, and it may hand out the same one again.
        return np.array(array, dtype, order="C")

    def own(self, leaf: Any, dtype: np.dtype) -> jax.Array:
        return jnp.asarray(leaf, jax.dtypes.canonicalize_dtype(dtype))

    def dtype(self, leaf: Any) -> np.dtype | None:
        found = getattr(leaf, "dtype", None)
        return found if isinstance(found, np.dtype) and found.name in _DTYPES else None

    def stacked(self, arrays: Sequence[Any], shape: Shape) -> jax.Array:
        return jnp.stack(list(arrays)).reshape(shape + jnp.shape(arrays[0]))

    def total(self, array: Any, axes: tuple[int, ...]) -> jax.Array:
        return jnp.sum(array, axes)

    def shaped(self, array: Any, shape: Shape) -> jax.Array:
        return jnp.reshape(array, shape)

    def moved(self, array: Any, count: int) -> jax.Array:
        return jnp.moveaxis(array, range(count), range(-count, 0))

    def compiled(self, core: Core, function: Any) -> Core | None:
        return jax.jit(core) if isinstance(function, type(_JITTED)) else None

    # --- derivatives ----------------------------------------------------------------------------------------

    def vjp(
        self, core: Core, leaves: Sequence[Any], active: Sequence[int], smooth: Sequence[int]
    ) -> tuple[tuple, Back]:
        function = _of_active(core, leaves, active, smooth)
        given = [leaves[a] for a in active]
        try:
            floats, pull, outputs = jax.vjp(function, *given, has_aux=True)
        except ValueError as error:
            if not _lacks_reverse(error):
                raise
            return core(*leaves), lambda cotangents: _by_columns(function, given, cotangents)

        def back(cotangents: Sequence[Any]) -> list[Any]:
            pairs = zip(cotangents, floats, strict=True)
            try:
                return list(pull(tuple(jnp.asarray(ct, y.dtype) for ct, y in pairs)))
            except ValueError as error:
                if not _lacks_reverse(error):
                    raise
                return _by_columns(function, given, cotangents)

        return outputs, back

    def jvp(
        self,
        core: Core,
        leaves: Sequence[Any],
        active: Sequence[int],
        tangents: Sequence[Any],
        smooth: Sequence[int],
    ) -> tuple[tuple, list[Any]]:
        function = _of_active(core, leaves, active, smooth)
        given = [leaves[a] for a in active]
        moving = [jnp.asarray(t, jnp.asarray(x).dtype) for t, x in zip(tangents, given, strict=True)]
        if _hides_custom_vjp(function, given):
            return _transposed(function, given, moving)
        try:
            _, moved, outputs = jax.jvp(function, given, moving, has_aux=True)
            return outputs, list(moved)
        except (TypeError, NotImplementedError) as error:  # the second one inside another derivative
            if not any(name in str(error) for name in ("custom_vjp", "custom_lin")):
                raise
            return _transposed(function, given, moving)

    # --- without values, and many at a time -----------------------------------------------------------------

    def outline(self, core: Core, inputs: Sequence[Any]) -> None:
        unknown = [k for k, x in enumerate(inputs) if isinstance(x, Like)]
        structs = [
            jax.ShapeDtypeStruct(inputs[k].shape, jax.dtypes.canonicalize_dtype(inputs[k].dtype))
            for k in unknown
        ]

        def of_unknown(*given: Any) -> tuple:
            filled = dict(zip(unknown, given, strict=True))
            return core(*[filled.get(k, x) for k, x in enumerate(inputs)])

        try:
            jax.eval_shape(of_unknown, *structs)
        except Exception as error:
            raise self.unclear(error) from error

    def mapped(self, core: Core, axes: Sequence[Sequence[int | None]]) -> Core | None:
        for axis in reversed(axes):
            core = jax.vmap(core, in_axes=tuple(axis))
        return core


JAX = _Jax()


def _wide() -> bool:
    config: Any = jax.config
    return config.jax_enable_x64


def _enable_x64() -> Any:
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64  # type: ignore[attr-defined]

    return enable_x64()


def _of_active(core: Core, leaves: Sequence[Any], active: Sequence[int], smooth: Sequence[int]) -> Core:
    """Float outputs, and all outputs as an auxiliary result, as a function of the active inputs."""

    def function(*given: Any) -> tuple:
        moving = dict(zip(active, given, strict=True))
        outputs = core(*[moving.get(k, leaf) for k, leaf in enumerate(leaves)])
        return tuple(outputs[j] for j in smooth), outputs

    return function


def _lacks_reverse(error: ValueError) -> bool:
    return "Reverse-mode differentiation does not work" in str(error)


def _by_columns(function: Core, given: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
    """Cotangents of the inputs by one pushforward for each of their elements."""

    def along(a: int, direction: Any) -> Any:
        tangents = [direction if k == a else jnp.zeros_like(x) for k, x in enumerate(given)]
        moved = jax.jvp(function, tuple(given), tuple(tangents), has_aux=True)[1]
        return sum(jnp.sum(ct * d) for ct, d in zip(cotangents, moved, strict=True))

    found = []
    for a, x in enumerate(given):
        basis = jnp.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
        elements = jax.vmap(lambda direction, a=a: along(a, direction))(basis)
        found.append(jnp.reshape(elements, x.shape))
    return found


def _hides_custom_vjp(function: Core, given: Sequence[Any]) -> bool:
    """Whether JAX would find out only once it compiles that there is no forward mode: where it traces."""
    if not any(isinstance(x, Tracer) for x in given):
        return False
    try:
        return _has_custom_vjp(jax.make_jaxpr(function)(*given).jaxpr)
    except jax.errors.ConcretizationTypeError:  # branches on values are not compiled
        return False


def _has_custom_vjp(jaxpr: Any) -> bool:
    for equation in jaxpr.eqns:
        if "custom_vjp" in equation.primitive.name:
            return True
        for parameter in equation.params.values():
            for part in parameter if isinstance(parameter, tuple | list) else (parameter,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns") and _has_custom_vjp(inner):
                    return True
    return False


def _transposed(function: Core, given: Sequence[Any], tangents: Sequence[Any]) -> tuple[tuple, list[Any]]:
    """Outputs, and tangents by the pullback, which has to be linear."""
    floats, pull, outputs = jax.vjp(function, *given, has_aux=True)
    try:
        return outputs, list(jax.linear_transpose(pull, floats)(tuple(tangents))[0])
    except Exception as error:
        raise DerivativeError(
            "the pushforward of a function with a custom_vjp is the transpose of its rule, and that is not "
            f"linear in the cotangent, or JAX cannot transpose it: {error}. Give it a custom_jvp."
        ) from error

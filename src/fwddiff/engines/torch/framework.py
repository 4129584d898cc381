"""PyTorch's tensors and derivatives, all by reverse mode.

A pushforward is the derivative of the pullback, which is linear, by its cotangent. PyTorch's own forward mode
is not asked: operators of `torch.library` with an autograd formula pass it tangents of zero, silently. Where
a formula cannot be differentiated by its cotangent, the pushforward takes one pullback per output element.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import torch
from fwddiff._errors import DerivativeError
from fwddiff._rule import Shape
from fwddiff.engines.foreign.framework import Back, Core, Framework, Like, by_rows

_DTYPES = {
    getattr(torch, name): np.dtype(name if name != "bool" else np.bool_)
    for name in ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
}
_OF_NUMPY = {dtype: own for own, dtype in _DTYPES.items()}


class _Torch(Framework):
    name = "PyTorch"
    lets_go = True

    # --- arrays ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def session(self, dtypes: Sequence[np.dtype]):
        with torch.inference_mode(False), torch.enable_grad():
            yield

    def owns(self, leaf: Any) -> bool:
        return isinstance(leaf, torch.Tensor)

    def is_moving(self, leaf: Any) -> bool:
        return _is_tracked(leaf)

    def lent(self, array: np.ndarray) -> torch.Tensor:
        # Floats become leaves that require gradients, which PyTorch refuses to write to; integers do not.
        is_lendable = array.dtype.kind == "f" and all(step >= 0 for step in array.strides)
        return torch.from_numpy(_writeable(array) if is_lendable else array.copy())

    def guarded(self, leaves: Sequence[Any]) -> list[Any]:
        return [x.requires_grad_() if _is_float(x) else x for x in leaves]

    def taken(self, array: torch.Tensor, dtype: np.dtype, given: Sequence[np.ndarray]) -> np.ndarray:
        found = np.ascontiguousarray(array.detach().cpu().resolve_neg().numpy(), dtype)
        found = found.reshape(array.shape)
        return found.copy() if any(np.may_share_memory(found, x) for x in given) else found

    def own(self, leaf: Any, dtype: np.dtype) -> torch.Tensor:
        wanted = _OF_NUMPY[dtype]
        if isinstance(leaf, np.ndarray):
            leaf = torch.from_numpy(leaf.copy())
        return leaf.to(wanted) if isinstance(leaf, torch.Tensor) else torch.tensor(leaf, dtype=wanted)

    def dtype(self, leaf: Any) -> np.dtype | None:
        if isinstance(leaf, np.ndarray | np.generic):
            return leaf.dtype if leaf.dtype in _OF_NUMPY else None
        return _DTYPES.get(leaf.dtype) if isinstance(leaf, torch.Tensor) else None

    def stacked(self, arrays: Sequence[Any], shape: Shape) -> torch.Tensor:
        return torch.stack(list(arrays)).reshape(shape + arrays[0].shape)

    def total(self, array: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        return array.sum(dim=axes) if axes else array

    def moved(self, array: torch.Tensor, count: int) -> torch.Tensor:
        return array.movedim(tuple(range(count)), tuple(range(-count, 0)))

    # --- derivatives ----------------------------------------------------------------------------------------

    def vjp(
        self, core: Core, leaves: Sequence[Any], active: Sequence[int], smooth: Sequence[int]
    ) -> tuple[tuple, Back]:
        run = _recorded(core, leaves, active, smooth)
        return run.values(), run.back

    def jvp(
        self,
        core: Core,
        leaves: Sequence[Any],
        active: Sequence[int],
        tangents: Sequence[Any],
        smooth: Sequence[int],
    ) -> tuple[tuple, list[Any]]:
        run = _recorded(core, leaves, active, smooth)
        is_nested = run.is_nested or any(map(_is_tracked, tangents))
        found = _tangents(run, tangents, is_nested)
        if found is not None:
            return run.values(), found
        return run.values(), by_rows(run.back, run.floats, tangents, self)

    # --- without values -------------------------------------------------------------------------------------

    def outline(self, core: Core, inputs: Sequence[Any]) -> None:
        from torch._subclasses.fake_tensor import FakeTensorMode

        try:
            with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
                core(
                    *[
                        torch.empty(x.shape, dtype=_OF_NUMPY[x.dtype]) if isinstance(x, Like) else x
                        for x in inputs
                    ]
                )
        except Exception as error:
            raise self.unclear(error) from error


TORCH = _Torch()


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.is_floating_point()


def _is_tracked(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.requires_grad


def _fresh(leaf: torch.Tensor) -> torch.Tensor:
    """The same values where a derivative by them ends, and that by what they come from goes on."""
    return leaf.view_as(leaf) if leaf.requires_grad else leaf.detach().requires_grad_()


class _Run(NamedTuple):
    """A core that was run and recorded. It is nested where the derivative may be differentiated: by what the
    leaves come from, or by tensors that the function captures."""

    outputs: tuple
    moving: list[torch.Tensor]
    floats: list[torch.Tensor]
    is_nested: bool

    def values(self) -> tuple:
        """The outputs, without a record of leaves that are only ours."""
        return self.outputs if self.is_nested else tuple(map(_detached, self.outputs))

    def pull(self, cotangents: Sequence[torch.Tensor]) -> list[Any]:
        """The pullback, with `None` for an input that is not used."""
        if not (self.is_nested or any(map(_is_tracked, cotangents))):
            return _grad(self.floats, self.moving, cotangents, False)
        if not any(map(torch.any, cotangents)):  # of zeros nothing would be missed
            probes = _probes(self.floats)
            _check(_grad(self.floats, self.moving, probes, True), probes)
        tracked = [ct if ct.requires_grad else ct.detach().requires_grad_() for ct in cotangents]
        bars = _grad(self.floats, self.moving, tracked, True)
        _check(bars, tracked)
        return bars

    def back(self, cotangents: Sequence[torch.Tensor]) -> list[Any]:
        pairs = zip(self.pull(cotangents), self.moving, strict=True)
        return [torch.zeros_like(x) if bar is None else bar for bar, x in pairs]


def _recorded(core: Core, leaves: Sequence[Any], active: Sequence[int], smooth: Sequence[int]) -> _Run:
    is_nested = any(map(_is_tracked, leaves))
    leaves = [_fresh(leaf) if _is_float(leaf) else leaf for leaf in leaves]
    with torch.enable_grad():
        outputs = core(*leaves)
    floats = [outputs[j] for j in smooth]
    is_nested = is_nested or _reaches_others(floats, leaves)
    return _Run(outputs, [leaves[a] for a in active], floats, is_nested)


def _reaches_others(outputs: Sequence[Any], leaves: Sequence[Any]) -> bool:
    """Whether outputs depend on tensors that require gradients and are none of the leaves."""
    own = {id(leaf) for leaf in leaves}
    nodes, seen = [y.grad_fn for y in outputs if y.grad_fn is not None], set()
    while nodes:
        node = nodes.pop()
        variable = getattr(node, "variable", None)  # of AccumulateGrad, where a record ends
        if variable is not None and id(variable) not in own:
            return True
        seen.add(node)
        nodes += [before for before, _ in node.next_functions if before is not None and before not in seen]
    return any(y.requires_grad and y.grad_fn is None and id(y) not in own for y in outputs)


def _detached(leaf: Any) -> Any:
    return leaf.detach() if _is_tracked(leaf) else leaf


def _grad(
    outputs: Sequence[Any], inputs: Sequence[Any], cotangents: Sequence[Any], nested: bool
) -> list[Any]:
    pairs = [(y, ct) for y, ct in zip(outputs, cotangents, strict=True) if y.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    roots, weights = zip(*pairs, strict=True)
    found = torch.autograd.grad(
        roots, inputs, weights, retain_graph=True, create_graph=nested, allow_unused=True
    )
    return list(found)


def _probes(outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Cotangents, and directions, between 1 and 2 without a pattern that could cancel."""
    found = []
    for k, y in enumerate(outputs):
        steps = torch.arange(y.numel(), dtype=y.dtype) + k + 1
        found.append((1 + (steps * 0.6180339887498949) % 1).reshape(y.shape).requires_grad_())
    return found


def _check(bars: Sequence[Any], cotangents: Sequence[Any]) -> None:
    """A pullback is linear: its derivative by the cotangents, along them, is itself. What falls short was
    computed by a formula that PyTorch does not record (by NumPy, or under `once_differentiable`), and would
    be missing, silently, in every derivative of it.
    """
    known = [bar for bar in bars if bar is not None]
    if not known:
        return
    weights = [w.detach() for w in _probes(known)]
    slopes = [None] * len(cotangents)
    recorded = [(bar, w) for bar, w in zip(known, weights, strict=True) if bar.requires_grad]
    if recorded:
        roots, along = zip(*recorded, strict=True)
        slopes = torch.autograd.grad(roots, cotangents, along, retain_graph=True, allow_unused=True)
    pairs = [(s, ct) for s, ct in zip(slopes, cotangents, strict=True) if s is not None]
    whole, size = _sums(known, weights)
    found, other = _sums([s for s, _ in pairs], [ct for _, ct in pairs])
    if abs(found - whole) > _TOLERANCE * (size + other):
        raise DerivativeError(
            "a derivative of a derivative was asked for of a PyTorch function whose backward is not made of "
            "operations that PyTorch differentiates (once_differentiable, NumPy, .detach()): write the "
            "backward in PyTorch's operations."
        )


_TOLERANCE = 1e-3


def _sums(arrays: Sequence[Any], others: Sequence[Any]) -> tuple[float, float]:
    """Sum of the products of elements, and of their magnitudes."""
    products = [a.detach().double() * b.detach().double() for a, b in zip(arrays, others, strict=True)]
    return sum(float(p.sum()) for p in products), sum(float(p.abs().sum()) for p in products)


def _tangents(run: _Run, tangents: Sequence[Any], nested: bool) -> list[Any] | None:
    """Derivatives of the pullback by the cotangents, along the tangents; `None` where it has none."""
    cotangents = _probes(run.floats)
    try:
        bars = run.pull(cotangents)
        known = [(bar, t) for bar, t in zip(bars, tangents, strict=True) if bar is not None]
        found = _grad([b for b, _ in known], cotangents, [t for _, t in known], nested)
    except (RuntimeError, NotImplementedError, DerivativeError):
        return None
    return [torch.zeros_like(y) if d is None else d for d, y in zip(found, run.floats, strict=True)]


class _Lent:
    """The memory of a read-only array as PyTorch takes it, which has no read-only tensors."""

    def __init__(self, array: np.ndarray):
        self.array = array
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def _writeable(array: np.ndarray) -> np.ndarray:
    return array if array.flags.writeable else np.asarray(_Lent(array))

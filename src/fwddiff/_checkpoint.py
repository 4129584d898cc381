"""Rematerialisation: a function of which a host keeps the inputs alone, and runs it again in the pullback."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from fwddiff import _dual_host, _host, _tree
from fwddiff._capture import Meaning, holds_host_array, meaning_of
from fwddiff._errors import ArgumentError, CaptureError, HostError
from fwddiff._wrapper import FwdDiff, fwddiff


def checkpoint(f: Callable) -> Any:
    """`f`, keeping only its inputs for the pullback, which runs it again.

    Args:
        f: A function of arrays, numbers and structs of them that is written for a host (`torch`, `jax.numpy`,
            `autograd.numpy`, `tensorflow`, `mlx.core`, `pytensor`), with results of that kind; or a function
            wrapped by `fwddiff`, which gets `mode="recompute"`.

    Returns:
        The same function. It is the host's own checkpoint where it has one (`torch.utils.checkpoint`,
        `jax.checkpoint`, `autograd.checkpoint`, `tf.recompute_grad`, `mlx.core.checkpoint`), in PyTensor an
        `OpFromGraph`. Numbers, NumPy arrays and our operators, whose forward mode keeps nothing, call `f`.

    Raises:
        CaptureError: `f` captures arrays of a host whose checkpoint would lose their derivative (autograd,
            TensorFlow, MLX): pass them as arguments.
        HostError: arrays of two hosts in one call.
    """
    if not callable(f):
        raise ArgumentError(f"checkpoint needs a function, not {type(f).__name__}.")
    if isinstance(f, FwdDiff):
        return FwdDiff(f.target.original, **{**f.options, "mode": "recompute"})
    return Checkpoint(f)


class Checkpoint:
    """What `fwddiff.checkpoint` makes of a function that is not wrapped."""

    autograph_info__ = None  # the mark of what TensorFlow's AutoGraph calls as it is

    def __init__(self, f: Callable):
        self.function = f
        functools.update_wrapper(self, f, updated=())

    @property
    def __fwddiff_function__(self) -> Callable:
        """Where code that is compiled or runs on duals calls this, it is the function."""
        return self.function

    @property
    def __fwddiff_meaning__(self) -> Meaning:
        return meaning_of(self.function)

    @functools.cached_property
    def broadcast(self) -> Any:
        """That of `fwddiff(f, mode="recompute")`."""
        return fwddiff(self.function, mode="recompute").broadcast

    @functools.cached_property
    def sum(self) -> Any:
        """That of `fwddiff(f, mode="recompute")`."""
        return fwddiff(self.function, mode="recompute").sum

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, spec = _tree.flatten((args, kwargs))
        name = getattr(self.function, "__name__", "function")
        host = _host.common_owner(leaves, name)
        if host is None or host is _dual_host:
            return self.function(*args, **kwargs)
        if not hasattr(host, "checkpoint"):
            raise HostError(f"{name}: {host.__name__.rpartition('.')[2]} has no checkpoint.")
        self._refuse_captured(host, name)
        return _recorded(self.function, host, leaves, spec)

    def _refuse_captured(self, host: ModuleType, name: str) -> None:
        if getattr(host, "CHECKPOINT_LOSES_CAPTURED", False) and holds_host_array(self.function, host.owns):
            raise CaptureError(
                f"{name} captures an array of {host.__name__.rpartition('.')[2]}, whose derivative its "
                "checkpoint would lose. Pass the array as an argument."
            )

    def __reduce__(self) -> Any:
        return Checkpoint, (self.function,)

    def __repr__(self) -> str:
        return f"checkpoint({getattr(self.function, '__name__', self.function)!r})"


def _recorded(function: Callable, host: ModuleType, leaves: Sequence[Any], spec: Any) -> Any:
    """The call with the host's arrays as its arguments, one by one; the rest is constant."""
    moving = [k for k, leaf in enumerate(leaves) if _host.owner(leaf) is host]
    trees: list[Any] = []

    def run(*arrays: Any) -> tuple:
        given = dict(zip(moving, arrays, strict=True))
        args, kwargs = _tree.unflatten(spec, [given.get(k, leaf) for k, leaf in enumerate(leaves)])
        results, tree = _tree.flatten(function(*args, **kwargs))
        trees.append(tree)
        return tuple(results)

    results = host.checkpoint(run, [leaves[k] for k in moving])
    return _tree.unflatten(trees[0], results)


__all__ = ["Checkpoint", "checkpoint"]

"""What frameworks do without fwddiff: their own functions, as their users call them, as `run`'s operators."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from fwddiff import _tree
from fwddiff.testing._backends import double_precision
from fwddiff.testing._reference import base_of

Arguments = tuple[Any, ...]


class _Framework(Protocol):
    def array(self, leaf: Any) -> Any:
        """The framework's array of a float or an array of NumPy."""

    def plain(self, leaf: Any) -> Any:
        """Back to NumPy."""

    def compute(self, base: str, f: Callable, xs: Arguments, given: Any) -> Any:
        """The derivative of `f` by all of `xs`, as a tuple over them where the operator mirrors x."""

    def run(self, f: Callable, *args: Any) -> Any:
        """`f(*args)`, compiled if that is the framework's habit and `f` allows."""

    def double(self) -> contextlib.AbstractContextManager:
        """Within it, arrays have double precision."""
        return contextlib.nullcontext()


def operators(framework: str, names: Sequence[str]) -> dict[str, Callable]:
    """Name of an operator → `make(f, argnum)`."""
    kinds: dict[str, Callable[[Callable], _Framework]]
    kinds = {"jax": _Jax, "torch": _Torch, "autograd": _Autograd}

    def maker(name: str) -> Callable:
        return lambda f, argnum: _Call(kinds[framework](f), name, f, argnum)

    return {name: maker(name) for name in names}


class _Call:
    """An operator on `f`. What takes no part in the derivative is a constant."""

    def __init__(self, framework: _Framework, operator: str, f: Callable, argnum: Any):
        self.framework, self.operator, self.f = framework, operator, f
        self.is_single = isinstance(argnum, int)
        self.positions = (argnum,) if self.is_single else argnum

    def __call__(self, *args: Any) -> Any:
        base, given = base_of(self.operator), None
        if base in ("pushforward", "hvp", "pullback"):
            given, args = args[1], (args[0], *args[2:])
            if base != "pullback" and self.is_single:
                given = (given,)
        with self.framework.double():
            args = self._converted(args)
            parts = self.framework.run(self._parts, args, self._converted(given))
            return self._converted(parts if len(parts) > 1 else parts[0], self.framework.plain)

    def _converted(self, tree: Any, convert: Callable | None = None) -> Any:
        leaves, spec = _tree.flatten(tree)
        return _tree.unflatten(spec, list(map(convert or self._array, leaves)))

    def _array(self, leaf: Any) -> Any:
        return self.framework.array(leaf) if isinstance(leaf, float | np.ndarray) else leaf

    def _parts(self, args: Arguments, given: Any) -> tuple:
        def moving(*xs: Any) -> Any:
            everything = list(args)
            for p, x in zip(self.positions, xs, strict=True):
                everything[p] = x
            return self.f(*everything)

        xs, parts = tuple(args[p] for p in self.positions), []
        if self.operator.startswith("value_"):
            parts.append(self.f(*args))
        if self.operator == "value_gradient_and_hessian":
            parts.append(self._derivative("gradient", moving, xs, given))
        return (*parts, self._derivative(base_of(self.operator), moving, xs, given))

    def _derivative(self, base: str, moving: Callable, xs: Arguments, given: Any) -> Any:
        found = self.framework.compute(base, moving, xs, given)
        if not self.is_single or base in ("derivative", "pushforward"):
            return found
        return found[0][0] if base == "hessian" else found[0]


class _Transforms(NamedTuple):
    """Functions of functions that JAX and PyTorch have in common."""

    grad: Callable
    jacfwd: Callable
    jacrev: Callable
    jvp: Callable
    vjp: Callable

    def compute(self, base: str, f: Callable, xs: Arguments, given: Any) -> Any:
        argnums = tuple(range(len(xs)))
        if base == "derivative":
            return self.jacfwd(f)(*xs)
        if base == "gradient":
            return self.grad(f, argnums)(*xs)
        if base == "jacobian":
            return self.jacrev(f, argnums)(*xs)
        if base == "hessian":
            return self.jacfwd(self.jacrev(f, argnums), argnums)(*xs)
        if base == "pullback":
            return self.vjp(f, *xs)[1](given)
        return self.jvp(self.grad(f, argnums) if base == "hvp" else f, xs, given)[1]


class _Jax(_Framework):
    """Formulas are compiled, unless they branch on values. Plain functions are not: loops would be unrolled,
    and XLA takes minutes for long ones."""

    def __init__(self, f: Callable) -> None:
        jax = importlib.import_module("jax")
        self.jax, self.compiled, self.is_eager = jax, None, not getattr(f, "is_formula", False)
        self.compute = _Transforms(jax.grad, jax.jacfwd, jax.jacrev, jax.jvp, jax.vjp).compute

    def array(self, leaf: Any) -> Any:
        return self.jax.numpy.asarray(leaf)

    def plain(self, leaf: Any) -> Any:
        return np.asarray(leaf)

    def double(self) -> contextlib.AbstractContextManager:
        return double_precision(self.jax)

    def run(self, f: Callable, *args: Any) -> Any:
        if self.compiled is None:
            self.compiled = self.jax.jit(f)
        if not self.is_eager:
            try:
                return self.jax.block_until_ready(self.compiled(*args))
            except (self.jax.errors.JAXTypeError, TypeError):
                self.is_eager = True
        return f(*args)


class _Torch(_Framework):
    def __init__(self, _: Callable) -> None:
        self.torch = importlib.import_module("torch")
        func = self.torch.func
        self.compute = _Transforms(func.grad, func.jacfwd, func.jacrev, func.jvp, func.vjp).compute

    def array(self, leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            return self.torch.tensor(leaf)
        return self.torch.tensor(leaf, dtype=self.torch.float64)

    def plain(self, leaf: Any) -> Any:
        return leaf.detach().numpy() if isinstance(leaf, self.torch.Tensor) else leaf

    def run(self, f: Callable, *args: Any) -> Any:
        return f(*args)


class _Autograd(_Framework):
    """HIPS autograd; its forward mode has not all functions that its reverse mode has."""

    def __init__(self, _: Callable) -> None:
        self.autograd = importlib.import_module("autograd")
        self.core = importlib.import_module("autograd.core")
        self.container = importlib.import_module("autograd.builtins").tuple

    def array(self, leaf: Any) -> Any:
        return leaf

    def plain(self, leaf: Any) -> Any:
        return leaf

    def run(self, f: Callable, *args: Any) -> Any:
        return f(*args)

    def compute(self, base: str, f: Callable, xs: Arguments, given: Any) -> Any:
        n, ag = range(len(xs)), self.autograd
        if base == "gradient":
            return tuple(ag.grad(f, k)(*xs) for k in n)
        if base == "jacobian":
            return tuple(ag.jacobian(f, k)(*xs) for k in n)
        if base == "hessian":
            return tuple(tuple(ag.jacobian(ag.jacobian(f, i), j)(*xs) for j in n) for i in n)
        self._expect_known(f(*xs))
        if base == "pullback":
            return self.core.make_vjp(lambda xs: f(*xs), xs)[0](given)
        return self._pushed(base, f, xs, (1.0,) if base == "derivative" else given)

    @staticmethod
    def _expect_known(result: Any) -> None:
        """Other containers would hide what they hold, and have the derivative zero."""
        if not _tree.flatten(result)[1].is_leaf() and type(result) not in (tuple, list, dict):
            raise NotImplementedError(f"autograd does not see what a {type(result).__name__} holds")

    def _pushed(self, base: str, f: Callable, xs: Arguments, given: Any) -> Any:
        gradient = lambda xs: self.container([self.autograd.grad(f, k)(*xs) for k in range(len(xs))])  # noqa: E731
        along = gradient if base == "hvp" else lambda xs: f(*xs)
        return self.core.make_jvp(along, xs)(given)[1]
